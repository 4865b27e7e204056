// What Chromium renders at most: one browser, a pool of tabs that stay open, its protocol spoken over a pipe, and nothing else.
//
//   node tabs.mjs --url http://127.0.0.1:8000 --out rows.jsonl --concurrency 4 --browser /usr/bin/chromium

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { readTable } from './inpage.mjs';
import { options, readAll } from './report.mjs';

const given = options();
// Beside the rows, so that it goes with their folder, however this ends.
const profile = mkdtempSync(join(dirname(given.out), 'profile-'));
// As tagpipe starts it: nothing is throttled, no picture and no font is loaded.
const flags = ['--headless=new', '--remote-debugging-pipe', '--no-startup-window', '--no-first-run', '--no-pings', '--disable-gpu',
  '--disable-background-networking', '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding', '--disable-breakpad', '--disable-component-update', '--disable-default-apps',
  '--disable-dev-shm-usage', '--disable-extensions', '--disable-remote-fonts', '--disable-sync',
  '--blink-settings=imagesEnabled=false', '--window-size=1280,300', '--hide-scrollbars', '--mute-audio',
  '--disable-features=BackForwardCache,HttpsUpgrades,MediaRouter,OptimizationHints,Translate', `--user-data-dir=${profile}`];
if (process.getuid() === 0) flags.push('--no-sandbox');
const chromium = spawn(given.browser, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });

const answers = new Map();
const arrivals = new Map();
let received = '';
let calls = 0;
chromium.stdio[4].setEncoding('utf8').on('data', (data) => {
  const messages = (received + data).split('\0');
  received = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    if (message.id) answers.get(message.id)(message);
    else if (message.method === 'Page.frameNavigated' && !message.params.frame.parentId) arrivals.get(message.sessionId)?.();
  }
});

function call(method, params = {}, sessionId = undefined) {
  const id = (calls += 1);
  chromium.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => {
    answers.set(id, ({ result, error }) => {
      answers.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    });
  });
}

async function openTab() {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank', newWindow: true });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  await call('Page.enable', {}, sessionId);
  return sessionId;
}

async function show(tab, url) {
  const arrived = new Promise((resolve) => { arrivals.set(tab, resolve); });
  const { errorText } = await call('Page.navigate', { url }, tab);
  if (errorText) throw new Error(`${errorText}: ${url}`);
  await arrived;
  const expression = `(${readTable})(10000)`;
  const { result, exceptionDetails } = await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, tab);
  if (exceptionDetails) throw new Error(`${exceptionDetails.exception?.description}: ${url}`);
  return result.value;
}

const idle = await Promise.all(Array.from({ length: given.concurrency }, openTab));
await readAll(given, async ({ url }) => {
  const tab = idle.pop();
  try {
    return await show(tab, url);
  } finally {
    idle.push(tab);
  }
});
const ended = new Promise((resolve) => { chromium.once('exit', resolve); });
await call('Browser.close');
await ended;
rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
