import { describe } from 'node:test';
import { type Refusal, SETTINGS, settings, testRefusals } from './support.ts';

const CASES: readonly Refusal[] = [
  {
    name: 'a duration without unit',
    sources: { settings: settings('session:\n  idle: 15\n  absolute: "15"\n') },
    lines: [
      'settings.yaml:9:9 session.idle: 15 has no unit, expected a duration from 1m to 30d, write a number and ms, s, m, h or d, such as 30s',
      'settings.yaml:10:13 session.absolute: "15" has no unit, expected a duration from 1m to 400d, write a number and ms, s, m, h or d, such as 30s',
    ],
  },
  {
    name: 'a unit nobody knows',
    sources: { settings: settings('session: {idle: 15 sec}\n') },
    lines: [
      'settings.yaml:8:17 session.idle: "15 sec" is not a duration, expected a duration from 1m to 30d, write a number and ms, s, m, h or d, such as 30s',
    ],
  },
  {
    name: 'a duration out of range',
    sources: { settings: settings('login: {transaction_ttl: 1h}\n') },
    lines: [
      'settings.yaml:8:26 login.transaction_ttl: "1h" is out of range, expected a duration from 30s to 10m, write a number and ms, s, m, h or d, such as 30s',
    ],
  },
  {
    name: 'idle beyond absolute',
    sources: { settings: settings('session: {idle: 2h, absolute: 1h}\n') },
    lines: [
      'settings.yaml:8:17 session.idle: "2h" is longer than session.absolute, expected a shorter one, shorten it',
    ],
  },
  {
    name: 'a size without unit and one with an unknown unit',
    sources: { settings: settings('limits:\n  body_bytes: 10\n  target_bytes: 8 kib\n') },
    lines: [
      'settings.yaml:9:15 limits.body_bytes: 10 has no unit, expected a size from 0B to 100GiB, write a number and B, KB, MB, GB, KiB, MiB or GiB, such as 16KiB',
      'settings.yaml:10:17 limits.target_bytes: "8 kib" is not a size, expected a size from 256B to 64KiB, write a number and B, KB, MB, GB, KiB, MiB or GiB, such as 16KiB',
    ],
  },
  {
    name: 'a target larger than the headers',
    sources: { settings: settings('limits: {header_bytes: 4KiB, target_bytes: 8KiB}\n') },
    lines: [
      'settings.yaml:8:44 limits.target_bytes: "8KiB" is larger than limits.header_bytes, expected a smaller size, reduce it',
    ],
  },
  {
    name: 'an unknown key that resembles a known one',
    sources: { settings: settings('sesion:\n  idle: 30m\n') },
    lines: [
      'settings.yaml:8:1 sesion: unknown key, expected "session", did you mean that? Correct the spelling or remove the line',
    ],
  },
  {
    name: 'an unknown key that resembles none',
    sources: { settings: settings('log: {colour: true}\n') },
    lines: [
      'settings.yaml:8:7 log.colour: unknown key, expected one of level, access, denied_per_second, remove the line',
    ],
  },
  {
    name: 'a key in camel case',
    sources: { settings: settings('insecureHttp: false\n') },
    lines: [
      'settings.yaml:8:1 insecureHttp: unknown key, expected "insecure_http", did you mean that? Correct the spelling or remove the line',
    ],
  },
  {
    name: 'a word that is no choice',
    sources: { settings: settings('session:\n  cookie: {same_site: relaxed}\n') },
    lines: [
      'settings.yaml:9:23 session.cookie.same_site: "relaxed" is not a choice, expected lax, strict or none, choose one',
    ],
  },
  {
    name: 'yes for true',
    sources: { settings: settings('metrics: {enabled: yes}\n') },
    lines: [
      'settings.yaml:8:20 metrics.enabled: "yes" is text, expected true or false, write true or false without quotes',
    ],
  },
  {
    name: 'text for a number',
    sources: { settings: settings('limits: {connections: "many"}\n') },
    lines: [
      'settings.yaml:8:23 limits.connections: "many" is not a whole number, expected a whole number from 1 to 1000000, write the number without quotes',
    ],
  },
  {
    name: 'a number out of range',
    sources: { settings: settings('listen:\n  public: {port: 70000}\n') },
    lines: [
      'settings.yaml:9:18 listen.public.port: 70000 is out of range, expected a whole number from 0 to 65535, correct the number',
    ],
  },
  {
    name: 'a fraction for a whole number',
    sources: { settings: settings('session: {max_per_user: 1.5}\n') },
    lines: [
      'settings.yaml:8:25 session.max_per_user: 1.5 is not a whole number, expected a whole number from 0 to 10000, correct the number',
    ],
  },
  {
    name: 'a list for a text',
    sources: { settings: settings('csrf: {value: [1]}\n') },
    lines: ['settings.yaml:8:8 csrf.value: is a list, expected visible ASCII without blanks, choose another value'],
  },
  {
    name: 'a number for a text',
    sources: { settings: settings('csrf: {value: 1}\n') },
    lines: ['settings.yaml:8:15 csrf.value: 1 is a number, expected visible ASCII without blanks, write it in quotes'],
  },
  {
    name: 'an empty section',
    sources: { settings: settings('login:\n') },
    lines: ['settings.yaml:8:7 login: is empty, expected a map, fill it in, or remove the line'],
  },
  {
    name: 'a text for a section',
    sources: { settings: settings('session: 30m\n') },
    lines: ['settings.yaml:8:10 session: "30m" is text, expected a map, write keys with values below it'],
  },
  {
    name: 'no version',
    sources: { settings: SETTINGS.replace('version: 1\n', '') },
    lines: ['settings.yaml:1:1 version: is missing, expected 1, write "version: 1"'],
  },
  {
    name: 'another version',
    sources: { settings: SETTINGS.replace('version: 1', 'version: 2') },
    lines: ['settings.yaml:1:10 version: 2 is not a known version, expected 1, write "version: 1"'],
  },
];

describe('values of settings.yaml are refused, with the exact lines', () => testRefusals(CASES));
