// What the operating system refused, by its name: EEXIST, ENOENT, EPERM.

export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
