// Plays scenarios.json with the Node client: scenario.js SCENARIOS SERVICE_URL WEB_URL.
//
// A line for each scenario: `ok`, `left-out` or `failed`, its name, and why; tab separated. To have the broker
// restarted it prints `restart` and how, and waits for a line.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { setTimeout: sleep } = require('timers/promises');
const { Consumer, Producer } = require('pulsar-flex');

const CAN = new Set(['access modes', 'tokens']);
const PATIENCE_MS = 20_000;
// The client looks for messages once a second.
const SILENCE_MS = 2_000;
const TYPES = { undefined: 'EXCLUSIVE', Shared: 'SHARED', Failover: 'FAILOVER', Key_Shared: 'KEY_SHARED' };
// The client drops the broker's code and keeps its text.
const REFUSALS = {
  'consumer-busy': /Exclusive consumer is already connected/,
  fenced: /fenced|exclusive producer/i,
  'producer-busy': /exclusive producer/i,
  quota: /quota/i,
  terminated: /terminated/i,
  'not-authenticated': /^Authentication failed/,
  'not-authorized': /^role `\w+` may not/,
};

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function check(holds, what) {
  if (!holds) throw new Error(what);
}

// Awaits `made`, which must be refused if the step says so.
async function expect(step, made) {
  try {
    await made;
  } catch (error) {
    if (step.refused && REFUSALS[step.refused].test(error.message)) return false;
    throw error;
  }
  check(!step.refused, `it was not refused: ${step.refused}`);
  return true;
}

class Player {
  constructor(serviceUrl, webUrl) {
    this.webUrl = webUrl;
    this.login = { discoveryServers: [serviceUrl.replace('pulsar://', '')], logCreator: () => () => {} };
    this.named = {};
  }

  async play(steps) {
    for (const [place, step] of steps.entries()) {
      try {
        check(typeof this[`do_${step.do}`] === 'function', 'no such step');
        await this[`do_${step.do}`](step);
      } catch (error) {
        throw new Error(`step ${place + 1} (${step.do}): ${error.name}: ${error.message}`);
      }
    }
  }

  do_client(step) {
    this.login.jwt = step.token;
  }

  async do_producer(step) {
    const mode = step.access ? step.access.toUpperCase() : 'SHARED';
    const topic = `persistent://public/default/${step.topic}`;
    const producer = new Producer({ ...this.login, topic, producerAccessMode: Producer.ACCESS_MODES[mode] });
    if (await expect(step, producer.create())) this.named[step.as] = { close: () => producer.close(), producer };
  }

  async do_consumer(step) {
    const consumer = new Consumer({
      ...this.login,
      topic: `persistent://public/default/${step.topic}`,
      subscription: step.subscription,
      subType: Consumer.SUB_TYPES[TYPES[step.type]],
      consumerName: step.as,
      initialPosition: Consumer.INITIAL_POSITION[step.start === 'earliest' ? 'EARLIEST' : 'LATEST'],
    });
    if (!(await expect(step, consumer.subscribe()))) return;
    const inbox = [];
    await consumer.run({ onMessage: (message) => inbox.push(message), autoAck: false });
    // What the client calls unsubscribing closes the consumer, and leaves the subscription.
    this.named[step.as] = { close: () => consumer.unsubscribe(), inbox };
  }

  // The next message; nothing if there is none in time.
  async take(name, waitMs) {
    for (const deadline = Date.now() + waitMs; Date.now() < deadline; await sleep(20)) {
      const message = this.named[name].inbox.shift();
      if (message) return message;
    }
    return undefined;
  }

  async do_send(step) {
    for (const value of step.values) {
      await this.named[step.by].producer.sendMessage({ payload: value, properties: {} });
    }
  }

  async do_send_batch(step) {
    const messages = step.values.map((payload) => ({ payload, properties: {} }));
    await this.named[step.by].producer.sendBatch({ messages });
  }

  async do_receive(step) {
    const found = [];
    for (const number of step.values.keys()) {
      const message = await this.take(step.by, PATIENCE_MS);
      check(message, `found ${found} and no more`);
      found.push(message.message.toString());
      if (step.then === 'nack') await message.ack({ type: Consumer.ACK_TYPES.NEGATIVE });
      else if (step.then !== 'ack-odd' || number % 2 === 1) await message.ack();
    }
    if (step.any_order) found.sort();
    check(JSON.stringify(found) === JSON.stringify(step.values), `found ${found}`);
  }

  // Of two consumers the one that gets the message is `active` from now on, and the one that does not is `other`.
  async do_receive_active(step) {
    let [active, other] = step.by;
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; [active, other] = [other, active]) {
      const message = await this.take(active, 300);
      if (!message) continue;
      check(message.message.toString() === step.value, 'another message');
      await message.ack();
      [this.named.active, this.named.other] = [this.named[active], this.named[other]];
      return;
    }
    throw new Error('nobody got it');
  }

  async do_silence(step) {
    const message = await this.take(step.by, SILENCE_MS);
    check(!message, `there is ${message && message.message}`);
  }

  async do_close(step) {
    for (const name of step.what) {
      await this.named[name].close();
      delete this.named[name];
    }
  }

  async do_pause(step) {
    await sleep(step.ms);
  }

  async do_admin(step) {
    const answer = await fetch(`${this.webUrl}/admin/v2${step.path}`, {
      method: step.method,
      headers: { 'Content-Type': 'application/json' },
      body: step.body === undefined ? undefined : JSON.stringify(step.body),
    });
    const text = await answer.text();
    check(answer.ok && text.includes(step.contains || ''), `${answer.status} ${text}`);
  }

  async do_restart(step) {
    console.log(`restart\t${step.how}`);
    check(!(await lines.next()).done, 'nobody restarts the broker');
  }

  async stop() {
    for (const { close } of Object.values(this.named)) await close().catch(() => {});
  }
}

async function main([scenarios, serviceUrl, webUrl]) {
  for (const { name, needs = [], steps } of JSON.parse(fs.readFileSync(scenarios))) {
    const missing = needs.filter((need) => !CAN.has(need));
    if (missing.length > 0) {
      console.log(`left-out\t${name}\tthe client has no ${missing.join(', ')}`);
      continue;
    }
    const player = new Player(serviceUrl, webUrl);
    try {
      await player.play(steps);
      console.log(`ok\t${name}\t`);
    } catch (error) {
      console.log(`failed\t${name}\t${error.message.replace(/\s+/g, ' ')}`);
    }
    await player.stop();
  }
  // Timers of the client linger.
  process.exit(0);
}

main(process.argv.slice(2));
