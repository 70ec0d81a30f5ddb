import { readdirSync, readFileSync } from 'node:fs';

/** The kernel reports processor time in units of 1/100 s to programs, whatever it counts in. */
const USER_HZ = 100;

/** Processor time of one process, seconds. */
type ProcessTime = { readonly parent: number; readonly own: number; readonly reaped: number };

/**
 * User and system time of processes and everything below them, in seconds (Linux: /proc/PID/stat, fields `utime` and
 * `stime`, exact to 10 ms). A process that is gone counts as nothing.
 */
export function cpuSeconds(pids: readonly number[]): number {
  const all = readAll();
  return [...treeOf(pids, all)].reduce((sum, pid) => sum + (all.get(pid)?.own ?? 0), 0);
}

/** As `cpuSeconds` of this process's own tree, ended children included. */
export function ownSeconds(): number {
  const all = readAll();
  const own = [...treeOf([process.pid], all)].map((pid) => all.get(pid));
  return own.reduce((sum, time) => sum + (time?.own ?? 0) + (time?.reaped ?? 0), 0);
}

/** Resident memory of processes and everything below them, bytes. */
export function residentBytes(pids: readonly number[]): number {
  return [...treeOf(pids, readAll())].reduce((sum, pid) => {
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/status`));
    return sum + Number(line?.[1] ?? 0) * 1024;
  }, 0);
}

/** Time of all processors together since the start, seconds. */
export type MachineTime = { readonly busy: number; readonly steal: number; readonly total: number };

/** Read /proc/stat. Work of interrupts is left out of `busy`: it belongs to no process. */
export function machineTime(): MachineTime {
  const [, ...fields] = (readText('/proc/stat').split('\n', 1)[0] ?? '').split(/\s+/);
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0, steal = 0] = fields.map(
    (field) => Number(field) / USER_HZ,
  );
  return { busy: user + nice + system, steal, total: user + nice + system + idle + wait + irq + softirq + steal };
}

function readAll(): Map<number, ProcessTime> {
  const all = new Map<number, ProcessTime>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const text = readText(`/proc/${pid}/stat`);
    // The name in brackets may hold anything, blanks and brackets too.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    if (fields.length < 15) continue;
    const seconds = (at: number): number => Number(fields[at]) / USER_HZ;
    all.set(pid, { parent: Number(fields[1]), own: seconds(11) + seconds(12), reaped: seconds(13) + seconds(14) });
  }
  return all;
}

function treeOf(roots: readonly number[], all: ReadonlyMap<number, ProcessTime>): Set<number> {
  const tree = new Set(roots);
  for (let grown = true; grown; ) {
    grown = false;
    for (const [pid, { parent }] of all) {
      if (!tree.has(parent) || tree.has(pid)) continue;
      tree.add(pid);
      grown = true;
    }
  }
  return tree;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process ended between the listing and the look.
    return '';
  }
}
