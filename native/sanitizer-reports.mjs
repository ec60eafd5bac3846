// What the sanitizers wrote, judged: a report counts unless a line of suppressions.txt forgives it.
//
// The sanitizers' own suppressions match any frame of a stack; below every call of the addon lies
// Node, so they would forgive ours too. Here a leak is forgiven for the frame that allocated, which
// is never one of the addon, and a race only when no frame of either access is in the addon.

/** How an allocation or an intercepted call begins: the runtime, and libc that called it. */
const runtime = /libsanitizer|\((libasan|libtsan|liblsan|libubsan|libc)\.so/
const ours = /\(hotbolt\.node\+|hotbolt::/

/** As sanitize.mjs asks for it: `    #0 function place (module+offset)`. */
const frameLine = /^ {4}#\d+ (.*)$/

const reportStart =
  /^(?=.*ERROR: \w+San|WARNING: ThreadSan|(?:Direct|Indirect) leak of|.* runtime error: )/m

/** What stands between reports and says nothing. */
const decoration = /^(=*|SUMMARY: .*|ThreadSanitizer: reported \d+ warnings)$/
const leakTitle = /ERROR: LeakSanitizer: detected memory leaks/

/** Splits what a process wrote into its reports. */
export function splitReports(text) {
  return text
    .split(reportStart)
    .map((report) =>
      report
        .split('\n')
        .filter((line) => !decoration.test(line) && !leakTitle.test(line))
        .join('\n'),
    )
    .filter((report) => report.trim() !== '')
}

const leak = /^(Direct|Indirect) leak of/
const access = /^ +(Previous )?(atomic )?(read|write) of size/i

/** The stacks under headings of that form, each innermost first, without the runtime. */
function stacksUnder(heading, report) {
  const stacks = []
  let open = false
  for (const line of report.split('\n')) {
    const frame = frameLine.exec(line)?.[1]
    if (frame === undefined) open = heading.test(line)
    if (frame === undefined && open) stacks.push([])
    if (frame !== undefined && open && !runtime.test(frame)) stacks.at(-1).push(frame)
  }
  return stacks
}

/** Lines of `kind: function: reason`. */
export function parseSuppressions(text) {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const [, kind, name] = /^(leak|race): (\S.*?): \S/.exec(line) ?? []
    if (name === undefined) throw new Error(`a suppression needs a kind and a reason: ${line}`)
    return { kind, name }
  })
}

/** Whether a report is forgiven. What is not understood is not. */
export function isForgiven(report, suppressions) {
  const forgives = (kind, [culprit = '']) =>
    !ours.test(culprit) &&
    suppressions.some((line) => line.kind === kind && culprit.includes(line.name))
  if (leak.test(report)) return stacksUnder(leak, report).every((stack) => forgives('leak', stack))
  if (!report.startsWith('WARNING: ThreadSanitizer: data race')) return false
  return stacksUnder(access, report).every(
    (stack) => forgives('race', stack) && !stack.some((frame) => ours.test(frame)),
  )
}
