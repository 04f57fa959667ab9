/**
 * The report of a job: its items as text, CSV or JSON, of any number and in constant memory.
 *
 * The report of a retry also has the items of the jobs that it retries. A retry runs only some of the items of its batch
 * again, under the same indexes. So the newest row of each index counts:
 *
 * ```
 * first try    1 completed   2 failed      3 failed
 * retry                      2 completed   3 failed
 * report       1 of the try  2 of the retry  3 of the retry
 * ```
 *
 * The rows of one batch are read in the order of their indexes from all of these jobs at once, a page at a time.
 */
import { stringify } from 'csv-stringify/sync'
import { hasCode } from '../../model/error.ts'
import { BATCH_NUMBERS, batchNumber, type ItemStatus } from '../../model/item.ts'
import type { Job, JobId } from '../../model/job.ts'
import { canonicalText, type Json } from '../../model/storable.ts'
import type { Principal } from '../../port/policy.ts'
import type { StoredItem } from '../../port/storage.ts'
import { reach } from '../authorization.ts'
import { type CallOptions, given, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import type { FieldMask } from '../field-mask.ts'
import { COLUMNS_MAX, reportSchema } from '../item-options.ts'
import { ITEMS_AT_ONCE, type ItemView, itemView, readItems } from './items.ts'
import { readable } from './reads.ts'

/** The options of `report`. */
export interface ReportOptions extends CallOptions {
  /** `'csv'`: a header and one line for each item. `'json'`: a list of items. */
  readonly format: 'csv' | 'json'
  /** One status, or a list: items with any of these. Default: all items. */
  readonly status?: ItemStatus | readonly ItemStatus[]
  /**
   * The columns of the CSV, or the fields of each item in the JSON: `key`, `index`, `number`, `status`, `attempts`,
   * `reason` (the message of the error, or the reported one), `code` (of the error), `message`, `at`, `job`, `input`,
   * `output`, and fields of these two, such as `input.url`.
   *
   * Default of a CSV: `key`, `status`, `attempts`, `reason`, `code`, `job`, then one column for each field of inputs and
   * outputs that occurs among the first 100 items of each status. If later items may have other fields, a last column
   * `more` has these as JSON. Default of a JSON: each item as {@link ReportedItem}.
   */
  readonly columns?: readonly string[]
}

/** An item in a report as JSON. */
export interface ReportedItem extends ItemView {
  /** The id of the job that has run the item: the job of the report, or one that it retries. */
  readonly job: string
}

/** Who asks, and the engine that answers. */
interface Asking {
  readonly core: () => Core
  readonly who: () => Principal
  readonly signal: AbortSignal | undefined
}

/** A job whose items are in the report. */
type Source = Pick<Job, 'id' | 'batches'>

/** Items of one job that follow each other: those with a number above `from`, up to `to`. */
interface Stretch {
  readonly id: string
  readonly from: number
  readonly to: number
}

/** Makes the lines of a report. */
interface Layout {
  readonly begin: string
  readonly page: (items: readonly ReportedItem[], isFirst: boolean) => string
  readonly end: (isEmpty: boolean) => string
}

/** {@inheritDoc Session.report} */
export async function* report(
  core: () => Core,
  who: () => Principal,
  id: JobId,
  options?: ReportOptions,
): AsyncGenerator<string> {
  const { signal, ...more } = given<Partial<ReportOptions>>(options, reportSchema) ?? {}
  const { format, status, columns } = await parseOptions(reportSchema, more)
  const asking = { core, who, signal }
  const sources = await sourcesOf(asking, id)
  const layout = format === 'json' ? jsonLayout(columns) : await csvLayout(asking, sources, status, columns)
  if (layout.begin !== '') yield layout.begin
  let isFirst = true
  for await (const items of pages(asking, sources, status)) {
    yield layout.page(items, isFirst)
    isFirst = false
  }
  const end = layout.end(isFirst)
  if (end !== '') yield end
}

/** The job and the jobs that it retries, as far as the caller may read them. The newest is first. */
async function sourcesOf(asking: Asking, id: JobId): Promise<readonly Source[]> {
  const { signal } = asking
  const sources: Source[] = []
  let newer: Job | undefined
  let next: string | undefined = id
  while (next !== undefined) {
    signal?.throwIfAborted()
    const read: Read | undefined = await readUnlessRefused(asking, next, sources.length > 0)
    // A retry with an input of its own has other items.
    if (read === undefined || (newer !== undefined && !hasSameInput(newer, read.job))) break
    const { job, mask } = read
    sources.push(job.batches === undefined ? { id: job.id } : { id: job.id, batches: job.batches })
    newer = job
    next = mask.hidden.has('retryOf') ? undefined : job.retryOf
  }
  return sources
}

type Read = Awaited<ReturnType<typeof readable>>

function readUnlessRefused({ core, who, signal }: Asking, id: string, isOptional: boolean): Promise<Read | undefined> {
  return unlessRefused(async () => await readable(core(), who(), id, { action: 'items', signal }), isOptional)
}

function hasSameInput(one: Job, other: Job): boolean {
  return canonicalText(one.input) === canonicalText(other.input)
}

async function unlessRefused<Result>(read: () => Promise<Result>, isOptional: boolean): Promise<Result | undefined> {
  try {
    return await read()
  } catch (error) {
    const isRefused = hasCode(error, 'JOB_NOT_FOUND', 'FORBIDDEN')
    if (isOptional && isRefused) return undefined
    throw error
  }
}

/** The items of the report, in pages that are not empty. */
async function* pages(
  asking: Asking,
  sources: readonly Source[],
  status: readonly ItemStatus[] | undefined,
): AsyncGenerator<readonly ReportedItem[]> {
  for (const stretches of partsOf(sources)) {
    for (let after: number | undefined = 0; after !== undefined; ) {
      asking.signal?.throwIfAborted()
      const masks = await masksOf(asking, sources)
      const seen = stretches.filter(({ id }) => masks.has(id))
      const { rows, next }: Merged = await mergedRows(asking.core(), seen, after, status)
      const items = rows.flatMap(({ id, row }) => {
        const mask = masks.get(id)
        return mask === undefined ? [] : [{ ...itemView(row, mask), job: id }]
      })
      if (items.length > 0) yield items
      after = next
    }
  }
}

// The policy is asked again at each read. A job of which the caller may not see the items is not in the map.
async function masksOf(
  { core, who, signal }: Asking,
  sources: readonly Source[],
): Promise<ReadonlyMap<string, FieldMask>> {
  const masks = new Map<string, FieldMask>()
  for (const [place, { id }] of sources.entries()) {
    const asked = () => ({ action: 'items', signal }) as const
    const reached = await unlessRefused(() => reach(core(), who(), id, asked), place > 0)
    if (reached !== undefined && !reached.mask.hidden.has('items')) masks.set(id, reached.mask)
  }
  return masks
}

/**
 * The parts of the report. Each is a list of stretches that have the same items: those of one batch, in the newest job
 * first.
 */
function partsOf(sources: readonly Source[]): readonly (readonly Stretch[])[] {
  const [only, ...others] = sources
  if (only === undefined) return []
  // One job is read in the order of its numbers, so that the storage can look for the statuses.
  if (others.length === 0) return [[{ id: only.id, from: 0, to: Number.MAX_SAFE_INTEGER }]]
  const batches = new Map<string, Stretch[]>()
  for (const { id, batches: own = [] } of sources) {
    for (const { invoke, ordinal, invocation } of own) {
      const stretch = { id, from: batchNumber(invocation, 0), to: batchNumber(invocation, BATCH_NUMBERS - 1) }
      const name = JSON.stringify([invoke, ordinal])
      batches.set(name, [...(batches.get(name) ?? []), stretch])
    }
  }
  // Items that code reports by `item` have no index that two jobs would share, so those of each job are listed.
  return [...sources.map(({ id }) => [{ id, from: 0, to: BATCH_NUMBERS }]), ...batches.values()]
}

/** Rows of a part, in order. `next`: the next ones are those after this index; absent: there are no more. */
interface Merged {
  readonly rows: readonly { readonly id: string; readonly row: StoredItem }[]
  readonly next?: number | undefined
}

async function mergedRows(
  core: Core,
  stretches: readonly Stretch[],
  after: number,
  status: readonly ItemStatus[] | undefined,
): Promise<Merged> {
  const [only, ...others] = stretches
  if (only === undefined) return { rows: [] }
  const { id, from, to } = only
  if (others.length === 0) {
    const { rows, next } = await readItems(core, id, { after: from + after, to, status })
    return { rows: rows.map((row) => ({ id, row })), next: next === undefined ? undefined : next - from }
  }
  const newest = new Map<number, Merged['rows'][number]>()
  let next: number | undefined
  // The oldest job has the most items, so its read decides how far this page goes. Newer rows replace older ones.
  for (const { id, from, to } of stretches.toReversed()) {
    const end = next === undefined ? to : from + next
    const found = await readItems(core, id, { after: from + after, to: end })
    for (const row of found.rows) newest.set(row.number - from, { id, row })
    if (found.next !== undefined) next = found.next - from
  }
  const merged = [...newest].filter(([index]) => next === undefined || index <= next).sort(([a], [b]) => a - b)
  const rows = merged.map(([, each]) => each).filter(({ row }) => status?.includes(row.status) !== false)
  return { rows, next }
}

function jsonLayout(columns: readonly string[] | undefined): Layout {
  const readers = columns?.map((column) => [column, readerOf(column)] as const)
  const shown = (item: ReportedItem) =>
    readers === undefined ? item : Object.fromEntries(readers.map(([column, read]) => [column, read(item)]))
  return {
    begin: '',
    page: (items, isFirst) => (isFirst ? '[\n' : ',\n') + items.map((item) => JSON.stringify(shown(item))).join(',\n'),
    end: (isEmpty) => (isEmpty ? '[]\n' : '\n]\n'),
  }
}

/** The columns of a CSV before those of inputs and outputs. */
const FIRST_COLUMNS = ['key', 'status', 'attempts', 'reason', 'code', 'job']

async function csvLayout(
  asking: Asking,
  sources: readonly Source[],
  status: readonly ItemStatus[] | undefined,
  columns: readonly string[] | undefined,
): Promise<Layout> {
  const readers = (columns ?? FIRST_COLUMNS).map(readerOf)
  if (columns !== undefined) return csv(columns, (item) => readers.map((read) => read(item)))
  const { names, isWhole } = await fieldNames(asking, sources, status)
  const known = new Set(names)
  const more = isWhole ? [] : ['more']
  return csv([...FIRST_COLUMNS, ...names, ...more], (item) => {
    const fields = new Map(fieldsOf(item))
    const others = isWhole ? [] : [...fields].filter(([name]) => !known.has(name))
    return [
      ...readers.map((read) => read(item)),
      ...names.map((name) => fields.get(name)),
      ...more.map(() => (others.length === 0 ? undefined : Object.fromEntries(others))),
    ]
  })
}

/** The names of the fields of inputs and outputs. `isWhole`: no item has other fields. */
async function fieldNames(
  asking: Asking,
  sources: readonly Source[],
  status: readonly ItemStatus[] = ['completed', 'failed', 'skipped', 'waiting'],
): Promise<{ readonly names: readonly string[]; readonly isWhole: boolean }> {
  const names = new Set<string>()
  let isWhole = true
  const masks = await masksOf(asking, sources)
  for (const [id, mask] of masks) {
    for (const each of status) {
      asking.signal?.throwIfAborted()
      const rows = await asking.core().storage.items(id, { after: 0, limit: ITEMS_AT_ONCE, status: each })
      for (const [name] of rows.flatMap((row) => fieldsOf(itemView(row, mask)))) names.add(name)
      isWhole &&= rows.length < ITEMS_AT_ONCE
    }
  }
  const ordered = [...names].sort((a, b) => Number(a.startsWith('output')) - Number(b.startsWith('output')))
  const max = COLUMNS_MAX - FIRST_COLUMNS.length - 1
  return { names: ordered.slice(0, max), isWhole: isWhole && ordered.length <= max }
}

/** The input and the output of an item as columns: each field of an object is one, and any other value too. */
function fieldsOf({ input, output }: Pick<ItemView, 'input' | 'output'>): readonly Field[] {
  return [...fieldsIn('input', input), ...fieldsIn('output', output)]
}

type Field = readonly [name: string, value: Json]

function fieldsIn(name: string, value: Json | undefined): readonly Field[] {
  if (value === undefined) return []
  if (!isObject(value)) return [[name, value]]
  return Object.entries(value).map(([field, each]) => [`${name}.${field}`, each])
}

function isObject(value: Json): value is { readonly [field: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function csv(header: readonly string[], cells: (item: ReportedItem) => readonly (Json | undefined)[]): Layout {
  const text = (lines: readonly (readonly (Json | undefined)[])[]) =>
    // A spreadsheet would run a cell such as `=HYPERLINK(…)` as a formula, so such texts get an apostrophe.
    stringify([...lines], {
      escape_formulas: true,
      cast: { boolean: String, number: numberText, string: escapedLineFeed },
    })
  return { begin: text([header]), page: (items) => text(items.map(cells)), end: () => '' }
}

// The same text as that of `String`, which would keep it in a cache: see `indexKey`.
function numberText(number: number): string {
  return JSON.stringify(number)
}

// `escape_formulas` knows all other characters that a formula may begin with.
function escapedLineFeed(text: string): string {
  return text.startsWith('\n') ? `'${text}` : text
}

/** Returns the function that reads a column of an item. */
function readerOf(column: string): (item: ReportedItem) => Json | undefined {
  if (column === 'reason') return ({ error, message }) => error?.message ?? message
  if (column === 'code') return ({ error }) => error?.code
  const dot = column.indexOf('.')
  // The options were parsed, so a column without a dot is a field of the item, and all its values are JSON.
  const field = (item: ReportedItem, name: string) => item[name as keyof ReportedItem] as Json | undefined
  if (dot < 0) return (item) => field(item, column)
  const [part, path] = [column.slice(0, dot), column.slice(dot + 1)]
  return (item) => fieldAt(field(item, part), path)
}

// A field `a.b` is one named so, or else the field `b` of `a`.
function fieldAt(value: Json | undefined, path: string): Json | undefined {
  if (value === undefined || !isObject(value)) return undefined
  if (Object.hasOwn(value, path)) return value[path]
  const dot = path.indexOf('.')
  const name = path.slice(0, dot)
  return dot < 0 || !Object.hasOwn(value, name) ? undefined : fieldAt(value[name], path.slice(dot + 1))
}
