// Every npm script enters here. npm puts node_modules/.bin first on PATH, where the lockfile's own Node 24 sits, so
// this file usually runs on Node 24 already, whatever the host has. When it does not, it says what to do. It also
// watches its parent: when npm is killed with SIGKILL no signal reaches us, but our parent process id changes.
'use strict'

const { enableCompileCache } = require('node:module')
const { join, resolve } = require('node:path')
const { pathToFileURL } = require('node:url')

const minimum = 24
const major = Number(process.versions.node.split('.')[0])

if (major < minimum) {
  process.stderr.write(
    `This project runs its TypeScript on Node ${minimum}; this is Node ${process.versions.node} (${process.execPath}).\n` +
      `  Linux (glibc, x64 or arm64): run it through npm after "npm ci", which installs Node ${minimum} into node_modules.\n` +
      `  If you did: optional dependencies were left out. Run "npm ci" again without --omit=optional.\n` +
      `  Elsewhere: install Node ${minimum} or newer from https://nodejs.org and try again.\n`,
  )
  process.exit(1)
}

const [target, ...args] = process.argv.slice(2)
if (!target) {
  process.stderr.write('usage: node scripts/run.cjs <file> [arguments]\n')
  process.exit(2)
}

const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM')
}, 500).unref()

// Node keeps what it has compiled, types stripped: every process of ours, and those it starts, begin in half the time.
process.env.NODE_COMPILE_CACHE ??= join(__dirname, '..', '.cache', 'compiled')
enableCompileCache(process.env.NODE_COMPILE_CACHE)

const file = resolve(join(__dirname, '..'), target)
process.argv = [process.argv[0], file, ...args]
import(pathToFileURL(file).href).catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
})
