import type { z } from 'zod';
import { idpsSchema } from '../../src/core/config/schema/idps.ts';
import { pdpSchema } from '../../src/core/config/schema/pdp.ts';
import { routesSchema } from '../../src/core/config/schema/routes.ts';
import { settingsSchema } from '../../src/core/config/schema/settings.ts';

const ROUTES_EXAMPLE = `version: 1

services:
  crud:
    urls: ["http://crud:8000"]
    token: {source: session}            # the user's own access token
  spa:
    urls: ["http://spa:80"]

routes:                                 # per segment: literal before :name before /*; then hosts, then methods
  - id: crud
    paths: ["/api/crud/{pages,tasks}/*"]
    target_service: crud
    roles: [admin, editor]              # one of them
    public:
      - {method: GET, path: /api/crud/pages/ping}
  - id: legacy
    paths: [/api/pages/*]
    target_service: crud
    rewrite: {prefix: /api/pages, to: /api/crud/pages}
  - id: dashboard                       # no target_service: a rule for ForwardAuth alone
    paths: [/dashboard/*]
    groups: [ops]
    allow_ips: [private]
  - id: spa
    paths: [/*]
    methods: [GET, HEAD]
    target_service: spa
    auth: none
    cache_control: upstream
`;

/** The files of a configuration directory with their schema and one line about them. */
export const CONFIG_FILES: readonly {
  readonly name: string;
  readonly schema: z.ZodObject;
  readonly about: string;
  readonly example?: string;
}[] = [
  { name: 'settings.yaml', schema: settingsSchema, about: 'The service itself. Required.' },
  { name: 'idps.yaml', schema: idpsSchema, about: 'Who vouches for users. Required.' },
  {
    name: 'routes.yaml',
    schema: routesSchema,
    about: 'Services and routes. Without it the proxy serves nothing.',
    example: ROUTES_EXAMPLE,
  },
  { name: 'pdp.yaml', schema: pdpSchema, about: 'External decisions. Optional.' },
];
