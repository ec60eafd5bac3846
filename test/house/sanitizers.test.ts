// What a run under sanitizers lets pass: native/suppressions.txt forgives Node, never the addon.
import { expect, test } from 'vitest'
import { isForgiven, parseSuppressions, splitReports } from '../../native/sanitizer-reports.mjs'
import { read } from '../support/sources.ts'

const suppressions = parseSuppressions(read('native/suppressions.txt'))

const stack = (...frames: string[]): string =>
  frames.map((frame, index) => `    #${index} ${frame}\n`).join('')

const malloc = 'operator new(unsigned long) libsanitizer/asan.cpp:95 (libasan.so+0xb94c8)'
const strdup = '__GI___strdup string/strdup.c:42 (libc.so.6+0x9e9a9)'
const node = 'v8::internal::Heap::Grow() <null> (node+0x11a06f2)'
const external = 'napi_create_external <null> (node+0xc50413)'
const verb = 'hotbolt::verbs::open(napi_env__*) native/binding/store_api.cc:98 (hotbolt.node+0x1)'
const inlined = 'std::vector<char>::reserve() /usr/include/c++/12/vector.h:1 (hotbolt.node+0x2)'

const leak = (...frames: string[]): string =>
  `Direct leak of 40 byte(s) in 1 object(s) allocated from:\n${stack(malloc, ...frames)}\n`

const race = (one: string[], other: string[]): string =>
  `WARNING: ThreadSanitizer: data race (pid=1)\n  Write of size 8 by thread T1:\n` +
  `${stack(...one)}\n  Previous read of size 8 by main thread:\n${stack(...other)}\n` +
  `  Thread T1 created by main thread at:\n${stack(node)}\n`

test('a leak is forgiven where Node allocated, also below a call of ours', () => {
  expect(isForgiven(leak(node), suppressions)).toBe(true)
  expect(isForgiven(leak(external, verb), suppressions)).toBe(true)
})

test('a leak is not forgiven where the addon allocated, whoever called it', () => {
  expect(isForgiven(leak(verb, node), suppressions)).toBe(false)
  expect(isForgiven(leak(inlined, verb, node), suppressions)).toBe(false)
  expect(isForgiven(leak('unknown <null> (other.so+0x1)'), suppressions)).toBe(false)
})

test('a race is forgiven between Node and Node only', () => {
  expect(isForgiven(race([node], [node]), suppressions)).toBe(true)
  expect(isForgiven(race([node], [strdup, node]), suppressions)).toBe(true)
  expect(isForgiven(race([node], [strdup, inlined]), suppressions)).toBe(false)
  expect(isForgiven(race([node], [inlined]), suppressions)).toBe(false)
  expect(isForgiven(race([node, verb], [node]), suppressions)).toBe(false)
  expect(isForgiven(race([node], []), suppressions)).toBe(false)
})

test('what is neither a leak nor a race is never forgiven', () => {
  for (const report of [
    `==node==1==ERROR: AddressSanitizer: heap-use-after-free\n${stack(node)}`,
    `native/core/page.h:9:1: runtime error: signed integer overflow\n${stack(node)}`,
    '==node==1==LeakSanitizer has encountered a fatal error.\n',
  ]) {
    expect(isForgiven(report, suppressions)).toBe(false)
  }
})

test('a file is split into its reports, and titles are none', () => {
  const title = '\n=====\n==node==1==ERROR: LeakSanitizer: detected memory leaks\n\n'
  const end = 'SUMMARY: AddressSanitizer: 80 byte(s) leaked in 2 allocation(s).\n'
  expect(splitReports(`${title}${leak(node)}${leak(verb)}${end}${title}`)).toHaveLength(2)
  expect(
    splitReports(`==================\n${race([node], [verb])}==================\n`),
  ).toHaveLength(1)
  expect(splitReports(title)).toEqual([])
})

test('a suppression without a reason is refused', () => {
  expect(() => parseSuppressions('leak: v8::')).toThrow(/reason/)
})
