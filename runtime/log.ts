/** Logs: one JSON object a line, a constant message and fields. */
import { pino, type Logger } from 'pino'

import type { WorkerConfig } from './config.ts'

export type Log = Logger

/** To standard output. Secrets and payloads are never fields; what might carry one is redacted by name. */
export function createLog(level: WorkerConfig['logLevel'], process: string): Log {
  return pino({
    level,
    base: { process },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: [
        'password',
        '*.password',
        'databaseUrl',
        'redisUrl',
        '*.databaseUrl',
        '*.redisUrl',
        '*.connectionString',
      ],
      censor: '[redacted]',
    },
  })
}
