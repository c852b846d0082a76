// OpenAI's client for Node: runTools, stream and parse, with zod, and responses.

import OpenAI from 'openai';
import { zodFunction, zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { assert, run } from './checks.js';

const model = process.env.OPENAI_MODEL;
const client = new OpenAI({ maxRetries: 0 });
const Slide = z.object({ title: z.string(), page: z.number() });
const messages = [{ role: 'user', content: 'Please open page three.' }];

function openPage(calls) {
  return zodFunction({
    name: 'open_page',
    description: 'Open a page of the slides.',
    parameters: z.object({ page: z.number() }),
    function: (parameters) => {
      calls.push(parameters);
      return 'It shows a chart of sales.';
    },
  });
}

async function tools(stream) {
  const calls = [];
  const runner = client.chat.completions.runTools({ model, messages, stream, tools: [openPage(calls)] });
  assert.ok(await runner.finalContent());
  assert.equal(calls.length, 1);
}

async function streamed() {
  const message = await client.chat.completions.stream({ model, messages }).finalMessage();
  assert.equal(message.role, 'assistant');
  const again = [...messages, message, { role: 'user', content: 'And the next one?' }];
  assert.ok(await client.chat.completions.stream({ model, messages: again }).finalContent());
}

async function parsed() {
  const { choices } = await client.chat.completions.parse({
    model,
    messages,
    response_format: zodResponseFormat(Slide, 'slide'),
  });
  assert.equal(typeof choices[0].message.parsed.title, 'string');
}

async function response() {
  const response = await client.responses.parse({
    model,
    input: messages,
    text: { format: zodTextFormat(Slide, 'slide') },
  });
  assert.equal(typeof response.output_parsed.title, 'string');
}

async function responseStream() {
  const response = await client.responses.stream({ model, input: 'Hello' }).finalResponse();
  assert.ok(response.output_text);
}

await run('openai', {
  runTools: () => tools(false),
  'runTools, streamed': () => tools(true),
  'stream, sent back': streamed,
  parse: parsed,
  'responses.parse': response,
  'responses.stream': responseStream,
});
