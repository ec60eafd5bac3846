// The one error class, and the list of its codes.
//
// The codes are born in native/core/error.h, in this order; lib/native.ts compares the two lists
// when it loads the addon. Codes are stable, messages are not.

export const errorCodes = [
  'ERR_INVALID_ARGUMENT',
  'ERR_CLOSED',
  'ERR_READ_ONLY',
  'ERR_LOCKED',
  'ERR_NOT_FOUND',
  'ERR_NOT_A_FILE',
  'ERR_PERMISSION',
  'ERR_NOT_A_DATABASE',
  'ERR_BYTE_ORDER',
  'ERR_VERSION',
  'ERR_CHECKSUM',
  'ERR_PAGE_SIZE',
  'ERR_TRUNCATED',
  'ERR_CORRUPT',
  'ERR_IO',
  'ERR_NO_SPACE',
  'ERR_OUT_OF_MEMORY',
  'ERR_POISONED',
  'ERR_JOURNAL_STALE',
  'ERR_JOURNAL_CORRUPT',
  'ERR_KEY_REQUIRED',
  'ERR_KEY_TOO_LARGE',
  'ERR_VALUE_TOO_LARGE',
  'ERR_CODEC',
  'ERR_BUCKET_NOT_FOUND',
  'ERR_BUCKET_EXISTS',
  'ERR_INCOMPATIBLE_VALUE',
  'ERR_TX_CLOSED',
  'ERR_TX_NESTED',
  'ERR_CONFLICT',
  'ERR_BUSY',
  'ERR_ABORTED',
  'ERR_EXISTS',
  'ERR_BACKUP_CORRUPT',
  'ERR_BACKUP_REQUIRED',
  'ERR_SOURCE',
  'ERR_INTERNAL',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** What an error says besides its code and message; only what applies is given. */
export interface ErrorDetails {
  /** The operating system's error number, positive. */
  readonly errno?: number | undefined
  /** The system call that failed. */
  readonly syscall?: string | undefined
  readonly path?: string | undefined
  /** The page of the file that is concerned. */
  readonly page?: number | undefined
  readonly cause?: unknown
}

/** Every error of this package. Match on `code`, never on the message. */
export class HotboltError extends Error {
  readonly code: ErrorCode
  declare readonly errno?: number
  declare readonly syscall?: string
  declare readonly path?: string
  declare readonly page?: number

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    if (details.errno !== undefined) this.errno = details.errno
    if (details.syscall !== undefined) this.syscall = details.syscall
    if (details.path !== undefined) this.path = details.path
    if (details.page !== undefined) this.page = details.page
  }

  static {
    // On the prototype, so that printing an error does not list the name among its properties.
    Object.defineProperty(this.prototype, 'name', {
      value: 'HotboltError',
      configurable: true,
      writable: true,
    })
  }

  /** Whether `error` is a HotboltError, with this code if one is given. */
  static is(error: unknown, code?: ErrorCode): error is HotboltError {
    return error instanceof HotboltError && (code === undefined || error.code === code)
  }
}

/** Codes for the operating system's errors; any other is ERR_IO. */
const systemCodes: ReadonlyMap<string, ErrorCode> = new Map([
  ['ENOSPC', 'ERR_NO_SPACE'],
  ['EDQUOT', 'ERR_NO_SPACE'],
  ['EACCES', 'ERR_PERMISSION'],
  ['EPERM', 'ERR_PERMISSION'],
  ['EROFS', 'ERR_PERMISSION'],
  ['ENOENT', 'ERR_NOT_FOUND'],
  ['EEXIST', 'ERR_EXISTS'],
  ['ENOTDIR', 'ERR_NOT_A_FILE'],
  ['EISDIR', 'ERR_NOT_A_FILE'],
  ['ELOOP', 'ERR_NOT_A_FILE'],
])

/**
 * `error` as a HotboltError: itself; what the operating system said (an error of node:fs), with its
 * number, call and path (`usedPath` if it names none); or ERR_INTERNAL with it as the cause.
 */
export function toHotboltError(error: unknown, usedPath?: string): HotboltError {
  if (error instanceof HotboltError) return error
  if (isSystemError(error)) {
    const { errno, syscall, path = usedPath } = error
    const code = systemCodes.get(error.code) ?? 'ERR_IO'
    const number = errno === undefined ? undefined : Math.abs(errno)
    return new HotboltError(code, error.message, { errno: number, syscall, path, cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  return new HotboltError('ERR_INTERNAL', message, { cause: error })
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as NodeJS.ErrnoException
  return typeof syscall === 'string' && typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)
}

/** Runs calls of node:fs; what they reject with is a HotboltError. */
export async function onDisk<T>(calls: () => Promise<T>): Promise<T> {
  try {
    return await calls()
  } catch (error) {
    throw toHotboltError(error)
  }
}

/**
 * Runs work on a thread. Its errors are made when nobody is on the stack any more: they get the
 * stack of this call, which reaches back over everybody who awaits it.
 */
export async function withStackOfCall<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof HotboltError && !error.stack?.includes('\n    at ')) {
      Error.captureStackTrace(error, withStackOfCall)
    }
    throw error
  }
}
