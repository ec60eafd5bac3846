// The terminal: colours where they are wanted, and one line that tells what is going on.

import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan'

/** Makes text of a style, or leaves it as it is. */
export type Painter = (style: Style, text: string) => string

/** Colours only on a terminal, and not if NO_COLOR is set (no-color.org). */
export function painterFor(stream: Pick<WriteStream, 'isTTY'>): Painter {
  const noColor = process.env['NO_COLOR'] ?? ''
  if (stream.isTTY !== true || noColor !== '' || process.env['TERM'] === 'dumb') {
    return (_style, text) => text
  }
  return (style, text) => styleText(style, text)
}

/**
 * What is going on, on stderr: one line that is written over on a terminal, and gone in the end;
 * elsewhere one line for each step, without its details.
 */
export class Progress {
  readonly #onTerminal = process.stderr.isTTY === true
  #step = ''

  show(step: string, detail = ''): void {
    if (this.#onTerminal) process.stderr.write(`\r  ${step} ${detail}\u001b[K`)
    else if (step !== this.#step) process.stderr.write(`... ${step}\n`)
    this.#step = step
  }

  end(): void {
    if (this.#onTerminal && this.#step !== '') process.stderr.write('\r\u001b[K')
    this.#step = ''
  }
}
