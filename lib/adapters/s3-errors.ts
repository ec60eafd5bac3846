// What S3 and its SDK say when something fails, as errors of this package.

import { HotboltError, type ErrorCode } from '../index.ts'

/** What the SDK's errors have besides a message; those of the network have less. */
interface SdkError extends Error {
  readonly code?: unknown
  readonly syscall?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number }
}

const notFoundNames = ['NoSuchKey', 'NotFound']
/** Of the files that are stored. */
const fileCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'ERR_NOT_FOUND',
  EACCES: 'ERR_PERMISSION',
}
const noSpaceNames = ['QuotaExceeded', 'XMinioStorageFull', 'InsufficientCapacity']

/**
 * ERR_ABORTED when `signal` is; ERR_NOT_FOUND, ERR_PERMISSION, ERR_NO_SPACE, else ERR_IO. The cause
 * is `error`.
 */
export function toTargetError(
  error: unknown,
  verb: string,
  path: string,
  signal: AbortSignal | undefined,
): HotboltError {
  if (signal?.aborted === true) return aborted(verb, path, signal)
  if (HotboltError.is(error)) return error
  const known = (error instanceof Error ? error : new Error(String(error))) as SdkError
  const message = `Cannot ${verb} ${path}: ${reasonOf(known)}`
  return new HotboltError(codeOf(known), message, { path, cause: error })
}

function aborted(verb: string, path: string, { reason }: AbortSignal): HotboltError {
  const message = `Cancelled, when it was to ${verb} ${path}`
  return new HotboltError('ERR_ABORTED', message, { path, cause: reason })
}

function codeOf({ name, code, syscall, $metadata }: SdkError): ErrorCode {
  const status = $metadata?.httpStatusCode
  if (syscall === 'stat' || syscall === 'open') return fileCodes[String(code)] ?? 'ERR_IO'
  if (notFoundNames.includes(name)) return 'ERR_NOT_FOUND'
  if (status === 401 || status === 403) return 'ERR_PERMISSION'
  if (name === 'CredentialsProviderError') return 'ERR_PERMISSION'
  if (status === 507 || noSpaceNames.includes(name)) return 'ERR_NO_SPACE'
  return 'ERR_IO'
}

/** What the server has answered; of our errors their cause's. */
export function statusOf(error: unknown): number | undefined {
  const { cause, $metadata } = error as Partial<SdkError>
  return (
    $metadata?.httpStatusCode ?? (cause as Partial<SdkError> | undefined)?.$metadata?.httpStatusCode
  )
}

/** Whether the server answered that it could not: it may the next time. */
export function isServerFault(error: unknown): boolean {
  const status = statusOf(error)
  return status !== undefined && status >= 500
}

/** Errors of the network have a code, and sometimes no message at all. */
function reasonOf({ name, message, code }: SdkError): string {
  const text = message === '' || message === 'UnknownError' ? name : message
  return typeof code === 'string' && !text.includes(code) ? `${text} (${code})` : text
}

export function invalidArgument(name: string, expected: string): HotboltError {
  return new HotboltError('ERR_INVALID_ARGUMENT', `Expected \`${name}\` to be ${expected}`)
}

export function sizeChanged(path: string, expected: number, found: number): HotboltError {
  const message = `${path} has ${found} bytes, not ${expected} as it should`
  return new HotboltError('ERR_INVALID_ARGUMENT', message, { path })
}
