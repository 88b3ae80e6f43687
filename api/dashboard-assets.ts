/**
 * The files of the wallet page: its style, its icon and its scripts, all from this server. The address of a file names what is in
 * it, so a browser may keep it for ever, and a page that was sent by a newer server asks for the newer file.
 */
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

import { BillingError } from '../billing/billing-error.ts'
import type { AssetPath } from '../dashboard/page.ts'
import type { Api } from './api.ts'

const folder = new URL('../dashboard/assets/', import.meta.url)

const types: Partial<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

/** Shape: where each of them is. They are read once, when the server is made. */
export function registerAssets(scope: Api): AssetPath {
  const paths = new Map<string, string>()
  for (const name of readdirSync(folder).filter((each) => typeOf(each) !== undefined)) {
    const content = readFileSync(new URL(name, folder))
    const path = `/wallet/assets/${hash('sha256', content, 'hex').slice(0, 16)}/${name}`
    paths.set(name, path)
    scope.get(path, { config: { scope: 'public' }, schema: { hide: true } }, async (_request, reply) =>
      reply
        .type(typeOf(name) ?? '')
        .header('cache-control', 'public, max-age=31536000, immutable')
        .send(content),
    )
  }
  return (name) => {
    const path = paths.get(name)
    if (path === undefined) throw new BillingError('asset_missing', `The page has no file named ${name}`)
    return path
  }
}

function typeOf(name: string): string | undefined {
  return types[name.slice(name.lastIndexOf('.') + 1)]
}
