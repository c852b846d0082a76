// Vercel's AI SDK: generateText with tools, streamText and generateObject, by responses (its default) and by chat.

import { createOpenAI } from '@ai-sdk/openai';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { assert, run } from './checks.js';

const name = process.env.OPENAI_MODEL;
const openai = createOpenAI();
const settings = { maxRetries: 0 };

async function tools(model) {
  const calls = [];
  const openPage = tool({
    description: 'Open a page of the slides.',
    inputSchema: z.object({ page: z.number() }),
    execute: async (input) => {
      calls.push(input);
      return 'It shows a chart of sales.';
    },
  });
  const result = await generateText({
    ...settings,
    model,
    prompt: 'Please open page three.',
    tools: { open_page: openPage },
    stopWhen: stepCountIs(3),
  });
  assert.equal(calls.length, 1);
  assert.ok(result.text);
}

async function streamed(model) {
  const failures = [];
  const result = streamText({ ...settings, model, prompt: 'Hello', onError: ({ error }) => failures.push(error) });
  let text = '';
  for await (const piece of result.textStream) text += piece;
  if (failures.length) throw failures[0];
  assert.ok(text);
  assert.ok((await result.usage).outputTokens > 0);
}

async function object(model) {
  const schema = z.object({ title: z.string(), page: z.number() });
  const result = await generateObject({ ...settings, model, schema, prompt: 'Describe the slide.' });
  assert.equal(typeof result.object.title, 'string');
}

await run('ai', {
  'generateText with tools, responses': () => tools(openai(name)),
  'streamText, responses': () => streamed(openai(name)),
  'generateObject, responses': () => object(openai(name)),
  'generateText with tools, chat': () => tools(openai.chat(name)),
  'streamText, chat': () => streamed(openai.chat(name)),
  'generateObject, chat': () => object(openai.chat(name)),
});
