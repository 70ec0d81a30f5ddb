import { byId } from './dom.js';

let violations = 0;
document.addEventListener('securitypolicyviolation', () => {
  violations += 1;
  setResult('check-csp', false);
});

/** Runs the checks that a visitor can see: they look at this browser only and send nothing. */
export async function runChecks() {
  setResult('check-worker', await startsBlobWorker());
  setResult('check-cookie', !/(?:^|; )(?:__Host-)?bff_session=/.test(document.cookie));
  setResult('check-storage', localStorage.length === 0 && sessionStorage.length === 0);
  setResult('check-csp', violations === 0);
}

function setResult(id, passed) {
  byId(id).dataset.result = passed ? 'passed' : 'failed';
}

/** Starts a worker from a blob URL, as bundlers make them, and waits at most 3 s for its answer. */
function startsBlobWorker() {
  const source = new Blob(['postMessage("hello " + (1 + 1))'], { type: 'text/javascript' });
  const url = URL.createObjectURL(source);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 3000);
    try {
      const worker = new Worker(url);
      const finish = (passed) => {
        clearTimeout(timer);
        worker.terminate();
        resolve(passed);
      };
      worker.onmessage = (event) => finish(event.data === 'hello 2');
      worker.onerror = () => finish(false);
    } catch {
      clearTimeout(timer);
      resolve(false);
    }
  }).finally(() => URL.revokeObjectURL(url));
}
