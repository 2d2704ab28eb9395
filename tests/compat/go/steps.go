// The steps of a scenario.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
)

// Who plays a scenario, and what it has made, by name.
type player struct {
	serviceURL, webURL string
	client             pulsar.Client
	producers          map[string]pulsar.Producer
	consumers          map[string]pulsar.Consumer
	later              map[string]chan made
	time               time.Time
}

// A producer that was waited for.
type made struct {
	producer pulsar.Producer
	err      error
}

var acts = map[string]func(*player, step) error{
	"client":         (*player).login,
	"producer":       (*player).makeProducer,
	"waits":          (*player).waits,
	"ready":          (*player).ready,
	"consumer":       (*player).makeConsumer,
	"send":           (*player).send,
	"send_batch":     (*player).sendBatch,
	"send_keyed":     (*player).sendKeyed,
	"send_large":     (*player).sendLarge,
	"receive":        (*player).receive,
	"receive_active": (*player).receiveActive,
	"receive_keyed":  (*player).receiveKeyed,
	"receive_large":  (*player).receiveLarge,
	"silence":        (*player).silence,
	"remember_time":  func(p *player, _ step) error { p.time = time.Now(); return nil },
	"seek":           (*player).seek,
	"read":           (*player).read,
	"close":          (*player).close,
	"pause":          func(_ *player, s step) error { time.Sleep(time.Duration(s.Ms) * time.Millisecond); return nil },
	"admin":          (*player).admin,
	"restart":        func(_ *player, s step) error { return ask("restart", s.How) },
	"offload":        func(_ *player, s step) error { return ask("offload", s.Topic) },
	"transaction":    (*player).transaction,
}

func (p *player) login(step step) error {
	options := pulsar.ClientOptions{}
	if step.Token != "" {
		options.Authentication = pulsar.NewAuthenticationToken(step.Token)
	}
	return p.connect(options)
}

func (p *player) makeProducer(step step) error {
	access := map[string]pulsar.ProducerAccessMode{
		"Exclusive": pulsar.ProducerAccessModeExclusive, "WaitForExclusive": pulsar.ProducerAccessModeWaitForExclusive}
	options := pulsar.ProducerOptions{Topic: step.Topic, Name: step.Name, DisableBatching: step.Batching == 0,
		BatchingMaxMessages: step.Batching, BatchingMaxPublishDelay: time.Second, EnableChunking: step.Chunking,
		ProducerAccessMode: access[step.Access]}
	if step.Schema != nil {
		options.Schema = step.Schema
	}
	if step.Later {
		ready := make(chan made, 1)
		p.later[step.As] = ready
		go func(client pulsar.Client) {
			producer, err := client.CreateProducer(options)
			ready <- made{producer, err}
		}(p.client)
		return nil
	}
	producer, err := p.client.CreateProducer(options)
	if err == nil {
		p.producers[step.As] = producer
	}
	return expect(step, err)
}

func (p *player) waits(step step) error {
	select {
	case made := <-p.later[step.What[0]]:
		return fmt.Errorf("it did not wait: %v", made.err)
	default:
		return nil
	}
}

func (p *player) ready(step step) error {
	select {
	case made := <-p.later[step.What[0]]:
		p.producers[step.What[0]] = made.producer
		return made.err
	case <-time.After(patience):
		return fmt.Errorf("it waits still")
	}
}

func (p *player) makeConsumer(step step) error {
	types := map[string]pulsar.SubscriptionType{
		"Shared": pulsar.Shared, "Failover": pulsar.Failover, "Key_Shared": pulsar.KeyShared}
	options := pulsar.ConsumerOptions{Topic: step.Topic, TopicsPattern: step.Pattern, SubscriptionName: step.Subscription,
		Type: types[step.Type], NackRedeliveryDelay: 100 * time.Millisecond, AckWithResponse: step.AckReceipt,
		EnableBatchIndexAcknowledgment: step.BatchIndex}
	if step.Start == "earliest" {
		options.SubscriptionInitialPosition = pulsar.SubscriptionPositionEarliest
	}
	if step.Schema != nil {
		options.Schema = step.Schema
	}
	if len(step.Ranges) > 0 {
		var ends []int
		for _, one := range step.Ranges {
			ends = append(ends, one[:]...)
		}
		policy, err := pulsar.NewKeySharedPolicySticky(ends)
		if err != nil {
			return err
		}
		options.KeySharedPolicy = policy
	}
	consumer, err := p.client.Subscribe(options)
	if err == nil {
		p.consumers[step.As] = consumer
	}
	return expect(step, err)
}

func (p *player) send(step step) error {
	for place, value := range step.Values {
		message := &pulsar.ProducerMessage{Payload: []byte(value), DeliverAfter: time.Duration(step.DelayMs) * time.Millisecond}
		if step.Sequence != nil {
			message.SequenceID = &step.Sequence[place]
		}
		_, err := p.producers[step.By[0]].Send(context.Background(), message)
		if err := expect(step, err); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) sendBatch(step step) error {
	sent := make(chan error, len(step.Values))
	for _, value := range step.Values {
		message := &pulsar.ProducerMessage{Payload: []byte(value)}
		p.producers[step.By[0]].SendAsync(context.Background(), message,
			func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) { sent <- err })
	}
	err := p.producers[step.By[0]].Flush()
	for range step.Values {
		err = errors.Join(err, <-sent)
	}
	return err
}

func (p *player) sendKeyed(step step) error {
	for turn := range step.Each {
		for key := range step.Keys {
			message := &pulsar.ProducerMessage{Key: fmt.Sprintf("k%d", key), Payload: fmt.Appendf(nil, "%d-%d", key, turn)}
			if _, err := p.producers[step.By[0]].Send(context.Background(), message); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) sendLarge(step step) error {
	payload := bytes.Repeat([]byte{'x'}, step.Bytes)
	_, err := p.producers[step.By[0]].Send(context.Background(), &pulsar.ProducerMessage{Payload: payload})
	return err
}

// take awaits a message of a consumer; nil if there is none in time.
func (p *player) take(name string, wait time.Duration) (pulsar.Message, error) {
	limited, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	message, err := p.consumers[name].Receive(limited)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return message, err
}

func (p *player) receive(step step) error {
	var found []string
	for number := range step.Values {
		message, err := p.take(step.By[0], patience)
		if err != nil {
			return err
		}
		if message == nil {
			return fmt.Errorf("found %q and no more", found)
		}
		found = append(found, string(message.Payload()))
		if step.Then == "nack" {
			p.consumers[step.By[0]].Nack(message)
		} else if step.Then != "ack-odd" || number%2 == 1 {
			if err := p.consumers[step.By[0]].Ack(message); err != nil {
				return err
			}
		}
	}
	if step.AnyOrder {
		slices.Sort(found)
	}
	if !slices.Equal(found, step.Values) {
		return fmt.Errorf("found %q", found)
	}
	return nil
}

// receiveActive calls the one of two consumers that gets the message `active` from now on, and the other one `other`.
func (p *player) receiveActive(step step) error {
	active, other := step.By[0], step.By[1]
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); active, other = other, active {
		message, err := p.take(active, 300*time.Millisecond)
		if err != nil {
			return err
		}
		if message == nil {
			continue
		}
		if string(message.Payload()) != step.Value {
			return fmt.Errorf("found %q", message.Payload())
		}
		p.consumers["active"], p.consumers["other"] = p.consumers[active], p.consumers[other]
		return p.consumers["active"].Ack(message)
	}
	return fmt.Errorf("nobody got it")
}

func (p *player) receiveKeyed(step step) error {
	owners, turns, busy := map[string]string{}, map[string]int{}, map[string]bool{}
	left := step.Keys * step.Each
	for deadline := time.Now().Add(patience); left > 0 && time.Now().Before(deadline); {
		for _, name := range step.By {
			message, err := p.take(name, 100*time.Millisecond)
			if err != nil {
				return err
			}
			if message == nil {
				continue
			}
			if err := p.consumers[name].Ack(message); err != nil {
				return err
			}
			key, turn, _ := strings.Cut(string(message.Payload()), "-")
			if owner, known := owners[key]; known && owner != name {
				return fmt.Errorf("key %s moved", key)
			}
			if turn != strconv.Itoa(turns[key]) {
				return fmt.Errorf("key %s: %s came in the place of %d", key, turn, turns[key])
			}
			owners[key], busy[name] = name, true
			turns[key]++
			left--
		}
	}
	if left > 0 {
		return fmt.Errorf("%d messages are missing", left)
	}
	if len(busy) != len(step.By) {
		return fmt.Errorf("one consumer has everything")
	}
	return nil
}

func (p *player) receiveLarge(step step) error {
	message, err := p.take(step.By[0], patience)
	if err != nil {
		return err
	}
	if message == nil || !bytes.Equal(message.Payload(), bytes.Repeat([]byte{'x'}, step.Bytes)) {
		return fmt.Errorf("it is not the message")
	}
	return nil
}

func (p *player) silence(step step) error {
	message, err := p.take(step.By[0], silence)
	if err == nil && message != nil {
		return fmt.Errorf("there is %q", message.Payload())
	}
	return err
}

func (p *player) seek(step step) error {
	if step.To == "earliest" {
		// The client takes the earliest id for a partition that is not there; the beginning of time does as well.
		return p.consumers[step.By[0]].SeekByTime(time.Unix(0, 0))
	}
	return p.consumers[step.By[0]].SeekByTime(p.time)
}

func (p *player) read(step step) error {
	reader, err := p.client.CreateReader(pulsar.ReaderOptions{Topic: step.Topic, StartMessageID: pulsar.EarliestMessageID(),
		ReadCompacted: step.Compacted})
	if err != nil {
		return err
	}
	defer reader.Close()
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, value := range step.Values {
		message, err := reader.Next(limited)
		if err != nil {
			return err
		}
		if string(message.Payload()) != value {
			return fmt.Errorf("found %q", message.Payload())
		}
	}
	return nil
}

func (p *player) close(step step) error {
	for _, name := range step.What {
		if producer, found := p.producers[name]; found {
			producer.Close()
			delete(p.producers, name)
		} else {
			p.consumers[name].Close()
			delete(p.consumers, name)
		}
	}
	return nil
}

func (p *player) admin(step step) error {
	request, err := http.NewRequest(step.Method, p.webURL+"/admin/v2"+step.Path, bytes.NewReader(step.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 || !strings.Contains(string(text), step.Contains) {
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}

// transaction begins one, with a client of its own. This client asks for the coordinators when it is made.
func (p *player) transaction(step step) error {
	client, err := pulsar.NewClient(pulsar.ClientOptions{URL: p.serviceURL, EnableTransaction: true, OperationTimeout: operationTimeout})
	if err == nil {
		defer client.Close()
		_, err = client.NewTransaction(5 * time.Second)
	}
	return expect(step, err)
}
