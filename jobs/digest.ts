/** A short name for a content, fit for a job id. */
import { hash } from 'node:crypto'

/** The first 24 hexadecimal digits of the SHA-256 of a text. */
export function digest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 24)
}
