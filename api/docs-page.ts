/**
 * The page on which the OpenAPI document is read and tried, at `/docs`. All of it comes from this server: its files are those
 * of Swagger UI's package, and its policy lets nothing in from elsewhere and no script that is written into the page.
 */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Api } from './api.ts'
import { cached } from '../runtime/cached.ts'

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>voice-wallet API</title>
    <link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="stylesheet" href="/docs/index.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`

/** A key that was typed in stays in the page and is forgotten with it. No validator of somebody else's is asked. */
const start = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1,
})
`

const files: readonly [name: string, type: string][] = [
  ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['index.css', 'text/css; charset=utf-8'],
  ['favicon-32x32.png', 'image/png'],
]

export function registerDocsPage(api: Api): void {
  const serve = (path: string, type: string, read: () => Promise<string | Buffer>): void => {
    api.get(path, { config: { scope: 'public' }, schema: { hide: true } }, async (_request, reply) => {
      const content = await read()
      return await reply
        .type(type)
        .header('content-security-policy', contentSecurityPolicy)
        .header('cache-control', 'public, max-age=3600')
        .send(content)
    })
  }
  serve('/docs', 'text/html; charset=utf-8', async () => page)
  serve('/docs/start.js', 'text/javascript; charset=utf-8', async () => start)
  for (const [name, type] of files) {
    serve(
      `/docs/${name}`,
      type,
      cached(Infinity, () => readFile(join(packageFolder(), 'static', name))),
    )
  }
}

function packageFolder(): string {
  return dirname(fileURLToPath(import.meta.resolve('@fastify/swagger-ui')))
}
