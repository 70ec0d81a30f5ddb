// Lives in a thread of their own: there the hooks of the test runner, which cost as much as the lives, are not at work.
import { parentPort, workerData } from 'node:worker_threads';
import { type FamilyName, runLives } from './refresh-lives.ts';

// An error of the model is an everyday thing here, and nobody reads its stack.
Error.stackTraceLimit = 0;
const { name, from, to } = workerData as { readonly name: FamilyName; readonly from: number; readonly to: number };
parentPort?.postMessage(await runLives(name, from, to));
