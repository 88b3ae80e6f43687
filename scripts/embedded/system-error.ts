// What the operating system refused, by its name (EEXIST, ENOENT, EPERM), or a program, by its exit code.

export function isSystemError(error: unknown, code: string | number): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
