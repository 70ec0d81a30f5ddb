import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { describeRemedy, findPart } from '../../scripts/parts.js';

const CHROMIUM_ARGUMENTS: readonly string[] = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What went wrong in a page, in order of appearance. */
export type PageProblems = {
  /** Console messages of the level error, and uncaught exceptions. */
  readonly errors: string[];
  /** Violations of a Content-Security-Policy: `<directive> <blocked address> on <page>`. */
  readonly cspViolations: string[];
};

/** Options of a headless browser. */
export type BrowserOptions = {
  readonly colorScheme?: 'light' | 'dark';
  readonly viewport?: { readonly width: number; readonly height: number };
  /** Accept self-signed certificates of the test. */
  readonly ignoreHTTPSErrors?: boolean;
  /** Where host names lead, as Chromium's `--host-resolver-rules` takes it: `MAP app.example.com:443 127.0.0.1:8443`. */
  readonly hostRules?: string;
};

/** One headless Chromium with a profile of its own: its cookies are shared with no other. */
export type TestBrowser = {
  readonly context: BrowserContext;
  /** Opens a tab whose problems are collected from its first moment. */
  newPage(): Promise<{ readonly page: Page; readonly problems: PageProblems }>;
  /** Ends the browser and deletes its profile. */
  close(): Promise<void>;
};

/**
 * Starts Chromium with a new, empty profile below the system's temporary folder.
 * Errors: when the program cannot be started.
 */
export async function launchBrowser(options: BrowserOptions = {}): Promise<TestBrowser> {
  const executablePath = findPart('chromium');
  if (executablePath === undefined) {
    throw new Error(`Chromium is not on the PATH; to get it: ${describeRemedy('chromium')}`);
  }
  const profile = await mkdtemp(join(tmpdir(), 'sallyport-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args:
      options.hostRules === undefined
        ? [...CHROMIUM_ARGUMENTS]
        : [...CHROMIUM_ARGUMENTS, `--host-resolver-rules=${options.hostRules}`],
    colorScheme: options.colorScheme ?? 'light',
    viewport: options.viewport ?? { width: 1280, height: 900 },
    ignoreHTTPSErrors: options.ignoreHTTPSErrors ?? false,
  });
  return {
    context,
    async newPage() {
      const page = await context.newPage();
      return { page, problems: await collectProblems(page) };
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function collectProblems(page: Page): Promise<PageProblems> {
  const problems: PageProblems = { errors: [], cspViolations: [] };
  page.on('console', (message) => {
    if (message.type() === 'error') {
      problems.errors.push(`${message.text()} (${message.location().url})`);
    }
  });
  page.on('pageerror', (error) => problems.errors.push(error.stack ?? error.message));
  await page.exposeFunction('reportCspViolation', (text: string) => problems.cspViolations.push(text));
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    window.reportCspViolation(event.violatedDirective + ' ' + event.blockedURI + ' on ' + event.documentURI))`);
  return problems;
}

/** Writes a PNG of the whole page to `path`. */
export async function saveScreenshot(page: Page, path: string): Promise<void> {
  await page.screenshot({ path, fullPage: true, animations: 'disabled' });
}
