// Plays scenarios.json with the Go client: compat SCENARIOS SERVICE_URL WEB_URL.
//
// A line for each scenario: `ok`, `left-out` or `failed`, its name, and why; tab separated. To have the broker
// restarted, or a topic offloaded, it prints `restart` and how, or `offload` and the topic, and waits for a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
)

var (
	// What the client has.
	can = map[string]bool{
		"access modes": true, "producers that wait": true, "message keys": true, "sticky ranges": true,
		"sequence ids": true, "schemas": true, "delays": true, "chunks": true,
		"acknowledgement of a batch's messages": true, "receipts for acknowledgements": true, "seek": true,
		"seek on exclusive subscriptions": true, "topic patterns": true, "readers": true, "transactions": true,
		"tokens": true,
	}
	stdin = bufio.NewReader(os.Stdin)
)

const (
	patience = 20 * time.Second
	silence  = 700 * time.Millisecond
	// How long a request may take that nobody answers, or that is tried again.
	operationTimeout = 15 * time.Second
)

type scenario struct {
	Name  string   `json:"name"`
	Needs []string `json:"needs"`
	Steps []step   `json:"steps"`
}

// A step; what it does not name is zero.
type step struct {
	Do           string          `json:"do"`
	As           string          `json:"as"`
	By           names           `json:"by"`
	What         names           `json:"what"`
	Topic        string          `json:"topic"`
	Pattern      string          `json:"pattern"`
	Subscription string          `json:"subscription"`
	Type         string          `json:"type"`
	Start        string          `json:"start"`
	Ranges       [][2]int        `json:"ranges"`
	Access       string          `json:"access"`
	Name         string          `json:"name"`
	Batching     uint            `json:"batching"`
	Chunking     bool            `json:"chunking"`
	BatchIndex   bool            `json:"batch_index"`
	AckReceipt   bool            `json:"ack_receipt"`
	Schema       *declared       `json:"schema"`
	Later        bool            `json:"later"`
	Refused      string          `json:"refused"`
	Token        string          `json:"token"`
	Values       []string        `json:"values"`
	Value        string          `json:"value"`
	Sequence     []int64         `json:"sequence"`
	DelayMs      int64           `json:"delay_ms"`
	Keys         int             `json:"keys"`
	Each         int             `json:"each"`
	Then         string          `json:"then"`
	AnyOrder     bool            `json:"any_order"`
	Bytes        int             `json:"bytes"`
	Compacted    bool            `json:"compacted"`
	Ms           int64           `json:"ms"`
	Method       string          `json:"method"`
	Path         string          `json:"path"`
	Body         json.RawMessage `json:"body"`
	Contains     string          `json:"contains"`
	How          string          `json:"how"`
	To           string          `json:"to"`
}

// One name, or a list of them.
type names []string

func (n *names) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(n))
	}
	*n = make(names, 1)
	return json.Unmarshal(text, &(*n)[0])
}

// A schema that is only declared: payloads are bytes.
type declared struct {
	Type   string `json:"type"`
	Fields string `json:"fields"`
}

func (d *declared) Encode(any) ([]byte, error) { return nil, fmt.Errorf("payloads are bytes") }

func (d *declared) Decode([]byte, any) error { return fmt.Errorf("payloads are bytes") }

func (d *declared) Validate([]byte) error { return nil }

func (d *declared) GetSchemaInfo() *pulsar.SchemaInfo {
	kinds := map[string]pulsar.SchemaType{"AVRO": pulsar.AVRO, "JSON": pulsar.JSON}
	definition := `{"type":"record","name":"R","fields":` + d.Fields + `}`
	return &pulsar.SchemaInfo{Name: "R", Schema: definition, Type: kinds[d.Type], Properties: map[string]string{}}
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var scenarios []scenario
	if err := json.Unmarshal(text, &scenarios); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, scenario := range scenarios {
		var missing []string
		for _, need := range scenario.Needs {
			if !can[need] {
				missing = append(missing, need)
			}
		}
		if len(missing) > 0 {
			tell("left-out", scenario.Name, "the client has no "+strings.Join(missing, ", "))
		} else if err := play(scenario.Steps, os.Args[2], os.Args[3]); err != nil {
			tell("failed", scenario.Name, err.Error())
		} else {
			tell("ok", scenario.Name, "")
		}
	}
}

func tell(word, name, why string) {
	fmt.Printf("%s\t%s\t%s\n", word, name, strings.Join(strings.Fields(why), " "))
}

func play(steps []step, serviceURL, webURL string) error {
	p := &player{serviceURL: serviceURL, webURL: webURL, producers: map[string]pulsar.Producer{},
		consumers: map[string]pulsar.Consumer{}, later: map[string]chan made{}}
	defer p.stop()
	if err := p.connect(pulsar.ClientOptions{}); err != nil {
		return err
	}
	for number, step := range steps {
		act, known := acts[step.Do]
		if !known {
			return fmt.Errorf("step %d: no such step: %s", number+1, step.Do)
		}
		if err := act(p, step); err != nil {
			return fmt.Errorf("step %d (%s): %w", number+1, step.Do, err)
		}
	}
	return nil
}

// connect takes another client in the place of the one before.
func (p *player) connect(options pulsar.ClientOptions) error {
	p.stop()
	options.URL = p.serviceURL
	options.OperationTimeout = operationTimeout
	options.Logger = pulsarlog.NewLoggerWithSlog(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	client, err := pulsar.NewClient(options)
	if err == nil {
		p.client = client
	}
	return err
}

func (p *player) stop() {
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
}

// How each refusal shows: the broker's name for it, or the client's own, somewhere in the error.
var refusals = map[string][]string{
	"fenced":              {"ProducerFenced", "AlreadyClosed", "ProducerClosed"},
	"producer-busy":       {"ProducerBusy"},
	"consumer-busy":       {"ConsumerBusy"},
	"consumer-assign":     {"ConsumerAssignError"},
	"incompatible-schema": {"IncompatibleSchema"},
	"quota":               {"ProducerBlockedQuotaExceededException"},
	"terminated":          {"TopicTerminated"},
	"not-allowed":         {"The broker doesn't enable the transaction coordinator"},
	"not-authenticated":   {"AuthenticationError"},
	"not-authorized":      {"AuthorizationError"},
}

// expect says whether it went as the step says: err is the refusal that it names, or there is none.
func expect(step step, err error) error {
	if step.Refused == "" {
		return err
	}
	if err == nil {
		return fmt.Errorf("it was not refused: %s", step.Refused)
	}
	for _, form := range refusals[step.Refused] {
		if strings.Contains(err.Error(), form) {
			return nil
		}
	}
	return fmt.Errorf("not refused as %s: %w", step.Refused, err)
}

// ask has something done with the broker.
func ask(what, how string) error {
	fmt.Printf("%s\t%s\n", what, how)
	if _, err := stdin.ReadString('\n'); err == io.EOF {
		return fmt.Errorf("nobody does that with the broker")
	}
	return nil
}
