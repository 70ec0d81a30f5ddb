import { describe } from 'node:test';
import { idps, type Refusal, routes, SETTINGS, settings, testRefusals } from './support.ts';

const CASES: readonly Refusal[] = [
  {
    name: 'an unquoted reference inside braces',
    sources: { settings: settings('listen: {public: {port: ${PORT}}}\n') },
    lines: [
      'settings.yaml:8:26: not valid YAML: "${…}" stands unquoted inside {…} or […], expected quotes around it, write "${NAME}"',
    ],
  },
  {
    name: 'an unquoted reference inside brackets',
    sources: { settings: settings('trusted_proxies: [${PROXIES}]\n') },
    lines: [
      'settings.yaml:8:20: not valid YAML: "${…}" stands unquoted inside {…} or […], expected quotes around it, write "${NAME}"',
    ],
  },
  {
    name: 'a key twice',
    sources: { settings: settings('session: {idle: 30m}\nsession: {idle: 20m}\n') },
    lines: ['settings.yaml:9:1: the key is there twice, expected each key once, remove one of the two'],
  },
  {
    name: 'a tab',
    sources: { settings: settings('session:\n\tidle: 30m\n') },
    lines: ['settings.yaml:9:1: not valid YAML: a tab indents the line, expected blanks, replace the tab by blanks'],
  },
  {
    name: 'a custom tag',
    sources: { settings: settings('session: {idle: !secret 30m}\n') },
    lines: ['settings.yaml:8:17: a custom tag is used, expected plain YAML, remove the "!…"'],
  },
  {
    name: 'two documents',
    sources: { settings: settings('---\nversion: 1\n') },
    lines: ['settings.yaml:8:1: a second document begins, expected one document, remove the "---"'],
  },
  {
    name: 'an alias without anchor',
    sources: { settings: settings('session: {idle: *idle}\n') },
    lines: [
      'settings.yaml:8:17 session.idle: the alias names no anchor above it, expected *name of an earlier &name, define the anchor first',
    ],
  },
  {
    name: 'an unclosed quote',
    sources: { settings: settings('csrf: {value: "hunter2secret}\n') },
    lines: [
      'settings.yaml:9:1: not valid YAML: a closing or separating character is missing, expected a closed quote or bracket, or a comma or colon, add it',
    ],
  },
  {
    name: 'two colons on a line',
    sources: { settings: settings('csrf: value: hunter2secret\n') },
    lines: [
      'settings.yaml:8:7: not valid YAML: a second ": " on one line, expected one key and one value, put the value in quotes',
    ],
  },
  {
    name: 'a list where the map should be',
    sources: { settings: '- version: 1\n' },
    lines: ['settings.yaml:1:1: the file is not a map, expected keys with values, write at least "version: 1"'],
  },
  {
    name: 'an empty file',
    sources: { idps: '# nothing\n' },
    lines: ['idps.yaml:1:1: the file is empty, expected a map, write at least "version: 1"'],
  },
  {
    name: 'files that are not there',
    sources: { settings: null, idps: null },
    lines: [
      'settings.yaml:1:1: the file does not exist, expected a readable file, create it or name another directory with --config',
      'idps.yaml:1:1: the file does not exist, expected a readable file, create it or name another directory with --config',
    ],
  },
  {
    name: 'a name that is not set',
    sources: { settings: settings('session:\n  idle: ${IDLE}\n') },
    lines: [
      'settings.yaml:9:9 session.idle: ${IDLE} is not set, expected an environment variable of that name, set IDLE',
    ],
  },
  {
    name: 'references that are none',
    sources: { settings: settings('session: {idle: "${IDLE", absolute: "${A B}", exposed_claims: ["${A:-${B}}"]}\n') },
    lines: [
      'settings.yaml:8:17 session.idle: a "${" begins no reference, expected ${NAME}, ${NAME:-default} or ${file:/path}, correct it, or write $${ for a literal "${"',
      'settings.yaml:8:37 session.absolute: a "${" begins no reference, expected ${NAME}, ${NAME:-default} or ${file:/path}, correct it, or write $${ for a literal "${"',
      'settings.yaml:8:64 session.exposed_claims[0]: a "${" begins no reference, expected ${NAME}, ${NAME:-default} or ${file:/path}, correct it, or write $${ for a literal "${"',
    ],
  },
  {
    name: 'a file that is not there, one that is too large, one that is relative',
    sources: {
      settings: settings(
        'verify:\n  shared_secret: ${file:/run/secrets/none}\ncsrf:\n  value: ${file:/run/secrets/large}\ncors: {max_age: "${file:secret}"}\n',
      ),
      files: { '/run/secrets/large': 'x'.repeat(70000) },
    },
    lines: [
      'settings.yaml:9:18 verify.shared_secret: ${file:/run/secrets/none} does not exist, expected a readable text file, create the file or correct its path',
      'settings.yaml:11:10 csrf.value: ${file:/run/secrets/large} is larger than 65536 bytes, expected a readable text file, create the file or correct its path',
      'settings.yaml:12:17 cors.max_age: ${file:secret} has no absolute path, expected a readable text file, write the path from the root',
    ],
  },
  {
    name: 'text from the environment where a number must be',
    sources: {
      settings: settings('limits:\n  connections: ${CONNECTIONS}\n'),
      environment: { CONNECTIONS: 'hunter2secret' },
    },
    lines: [
      'settings.yaml:9:16 limits.connections: ${CONNECTIONS} is not a whole number, expected a whole number from 1 to 1000000, write the number without quotes',
    ],
  },
  {
    name: 'several faults in several files',
    sources: {
      settings: settings('sesion: {}\nsession: {idle: 15}\n'),
      idps: idps('    scopes: [profile]\n'),
      routes: routes('  - {id: a, paths: [a]}\n'),
    },
    lines: [
      'settings.yaml:8:1 sesion: unknown key, expected "session", did you mean that? Correct the spelling or remove the line',
      'settings.yaml:9:17 session.idle: 15 has no unit, expected a duration from 1m to 30d, write a number and ms, s, m, h or d, such as 30s',
      'idps.yaml:7:5 providers.main.scopes: openid is missing, expected openid among them, add it',
      'routes.yaml:5:21 routes[0].paths[0]: "a" does not begin with a slash, expected literals, {a,b}, :name, and a final /*, correct the path',
    ],
  },
  {
    name: 'an expansion without end',
    sources: {
      settings: settings(
        'x: [&a [1,1,1,1,1,1,1,1,1,1,1,1], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c], *d]\n',
      ),
    },
    lines: [
      'settings.yaml:8:1 x: unknown key, expected a key of docs/config.md, remove the line',
      'settings.yaml:8:23: the file is too large or too deep, expected at most 20000 values, 24 deep, shorten the file, or use fewer aliases',
    ],
  },
  {
    name: 'an alias inside its own anchor',
    sources: { settings: settings('x: &x [*x]\n') },
    lines: [
      'settings.yaml:8:1 x: unknown key, expected a key of docs/config.md, remove the line',
      'settings.yaml:8:7: the file is too large or too deep, expected at most 20000 values, 24 deep, shorten the file, or use fewer aliases',
    ],
  },
  {
    name: 'another YAML version',
    sources: { settings: `%YAML 1.1\n---\n${SETTINGS}` },
    lines: ['settings.yaml:1:1: another YAML version is asked for, expected YAML 1.2, remove the %YAML line'],
  },
  {
    name: 'a file that is no text',
    sources: { settings: Buffer.from([0xff, 0xfe, 0x00]) },
    lines: ['settings.yaml:1:1: the file is not UTF-8, expected UTF-8 text, save it as UTF-8'],
  },
];

describe('files that cannot be read as configuration, with the exact lines', () => testRefusals(CASES));
