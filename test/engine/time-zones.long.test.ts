import { describe, expect, test } from 'vitest'
import { latestDue, nextDue } from '../../src/engine/schedule-times.ts'
import { isInFull, shareOf } from '../share.ts'

// The due times of cron patterns in every time zone of the IANA database, from 2000 to 2040, compared with a simple
// model: the offsets of a zone, and the times when they change.

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const FIRST = Date.UTC(2000, 0, 1)
const LAST = Date.UTC(2041, 0, 1)

/** A change of a zone's offset: before `at`, local time is UTC + `before`; from `at` on, UTC + `after`. */
interface Change {
  readonly zone: string
  readonly at: number
  readonly before: number
  readonly after: number
}

/** The local times of a zone. */
class Zone {
  readonly name: string
  readonly changes: readonly Change[]
  readonly #format: Intl.DateTimeFormat

  constructor(name: string) {
    this.name = name
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    this.changes = this.#find()
  }

  /** All changes: no two of one zone are less than two days apart. */
  #find(): readonly Change[] {
    const found: Change[] = []
    let before = this.#read(FIRST)
    for (let at = FIRST; at < LAST; at += 2 * DAY) {
      const after = this.#read(at + 2 * DAY)
      if (after !== before) found.push({ zone: this.name, at: this.#between(at, at + 2 * DAY), before, after })
      before = after
    }
    return found
  }

  #between(from: number, until: number): number {
    const before = this.#read(from)
    let [low, high] = [from, until]
    while (high - low > 1_000) {
      const middle = low + Math.floor((high - low) / 2_000) * 1_000
      if (this.#read(middle) === before) low = middle
      else high = middle
    }
    return high
  }

  #read(at: number): number {
    const part: Record<string, number> = {}
    for (const { type, value } of this.#format.formatToParts(at)) part[type] = Number(value)
    const { year = 0, month = 1, day, hour, minute, second } = part
    return Date.UTC(year, month - 1, day, hour, minute, second) - at
  }

  offset(at: number): number {
    const last = this.changes.findLast((change) => change.at <= at)
    return last?.after ?? this.changes[0]?.before ?? this.#read(FIRST)
  }

  /** Each time when the clocks of the zone show this local time; for a time that was left out, the time of the change. */
  timesOf(local: number): readonly number[] {
    const offsets = new Set([this.offset(local - DAY), this.offset(local), this.offset(local + DAY)])
    const times = [...offsets].map((offset) => local - offset).filter((at) => at + this.offset(at) === local)
    if (times.length > 0) return times.sort((a, b) => a - b)
    return this.changes
      .filter(({ at, before, after }) => at + before <= local && local < at + after)
      .map(({ at }) => at)
  }

  /** When a rule with a fixed time of day is due. */
  daily(from: number, until: number, timeOfDay: number): readonly number[] {
    const found: number[] = []
    for (let day = Math.floor(from / DAY) * DAY - DAY; day <= until + DAY; day += DAY) {
      const [first] = this.timesOf(day + timeOfDay)
      if (first !== undefined && first >= from && first < until) found.push(first)
    }
    return found
  }

  /** When a rule for each hour is due. */
  hourly(from: number, until: number, minute: number): readonly number[] {
    const found: number[] = []
    for (let at = from; at < until; at += MINUTE) {
      if ((((at + this.offset(at)) / MINUTE) % 60) - minute === 0) found.push(at)
    }
    return found
  }
}

const ZONES = Intl.supportedValuesOf('timeZone').map((name) => new Zone(name))
/** The zones, or a share of them. */
const SHARE = ZONES.filter((_, index) => isInFull || index % Math.round(ZONES.length / shareOf(ZONES.length)) === 0)
const CHANGES = SHARE.flatMap(({ changes }) => changes)

function due(zone: Zone, cron: string, from: number, until: number): readonly number[] {
  const times = { cron, timeZone: zone.name, fields: 5 } as const
  const found: number[] = []
  for (let at = nextDue(times, from - 1); at !== undefined && at < until; at = nextDue(times, at)) found.push(at)
  return found
}

function text(at: number): string {
  return new Date(at).toISOString()
}

function clock(timeOfDay: number): string {
  return new Date(timeOfDay).toISOString().slice(11, 16)
}

/** A rule for a time of day, as a cron pattern. */
function dailyCron(timeOfDay: number): string {
  return `${(timeOfDay % HOUR) / MINUTE} ${Math.floor(timeOfDay / HOUR)} * * *`
}

/** Times of day that a change touches: in the middle of what it leaves out or repeats, at its ends, and noon. */
function touched({ at, before, after }: Change): readonly number[] {
  const [low, high] = [at + Math.min(before, after), at + Math.max(before, after)]
  const middle = Math.floor((low + high) / 2 / MINUTE) * MINUTE
  const times = [middle, low, high, 12 * HOUR].map((time) => Math.floor((((time % DAY) + DAY) % DAY) / MINUTE) * MINUTE)
  return [...new Set(times)]
}

interface Difference {
  readonly zone: string
  readonly cron: string
  readonly near: string
  readonly doubledOrWrong: readonly string[]
  readonly missed: readonly string[]
}

function compared(zone: Zone, cron: string, near: number, found: readonly number[], wanted: readonly number[]) {
  const difference: Difference = {
    zone: zone.name,
    cron,
    near: text(near),
    doubledOrWrong: found.filter((at, index) => !wanted.includes(at) || found.indexOf(at) !== index).map(text),
    missed: wanted.filter((at) => !found.includes(at)).map(text),
  }
  return difference.doubledOrWrong.length + difference.missed.length === 0 ? [] : [difference]
}

describe('in every time zone from 2000 to 2040', () => {
  test('a rule for a time of day is due once a day, around every change of the clocks', () => {
    let count = 0
    const wrong = SHARE.flatMap((zone) =>
      zone.changes.flatMap((change) =>
        touched(change).flatMap((timeOfDay) => {
          const [from, until] = [change.at - 2 * DAY, change.at + 2 * DAY]
          const found = due(zone, dailyCron(timeOfDay), from, until)
          count += found.length
          return compared(zone, dailyCron(timeOfDay), change.at, found, zone.daily(from, until, timeOfDay))
        }),
      ),
    )
    console.log(`${count} due times around ${CHANGES.length} changes in ${SHARE.length} zones`)
    expect(wrong).toEqual([])
  })

  test('a rule for a time of day is due once a day in each month', () => {
    const wrong = SHARE.flatMap((zone, index) => {
      const all: Difference[] = []
      for (let from = FIRST + (index % 28) * DAY; from < LAST; from += 30 * DAY) {
        const found = due(zone, '30 5 * * *', from, from + DAY)
        all.push(...compared(zone, '30 5 * * *', from, found, zone.daily(from, from + DAY, 5.5 * HOUR)))
      }
      return all
    })
    expect(wrong).toEqual([])
  })

  test('a rule for a day of the year that a gap leaves out is due at the end of the gap', () => {
    const gaps = CHANGES.filter(({ before, after }) => after > before)
    const wrong = gaps.flatMap(({ zone: timeZone, at, before, after }) => {
      const left = new Date(at + Math.floor((before + after) / 2 / MINUTE) * MINUTE)
      const day = `${left.getUTCDate()} ${left.getUTCMonth() + 1}`
      const cron = `${left.getUTCMinutes()} ${left.getUTCHours()} ${day} *`
      const found = nextDue({ cron, timeZone, fields: 5 }, at - 300 * DAY) ?? 0
      return found === at ? [] : [{ timeZone, cron, found: text(found), wanted: text(at) }]
    })
    console.log(`${gaps.length} gaps`)
    expect(wrong).toEqual([])
  })

  test('a rule for each hour is due in each hour that passes, two days around every change', () => {
    // Zones that change their clocks together, by the same times, give the same due times.
    const distinct = new Map(CHANGES.map((change) => [`${change.at} ${change.before} ${change.after}`, change]))
    let count = 0
    const wrong = [...distinct.values()].flatMap((change, index) => {
      const zone = SHARE.find(({ name }) => name === change.zone)
      if (zone === undefined) return []
      const [from, until] = [Math.floor(change.at / HOUR) * HOUR - DAY, Math.floor(change.at / HOUR) * HOUR + DAY]
      const found = due(zone, '15 * * * *', from, until)
      count += found.length
      const wanted = zone.hourly(from, until, 15)
      // Looking back takes as long, so it is done for every fourth change.
      const back =
        index % 4 > 0 ? wanted : latestDue({ cron: '15 * * * *', timeZone: zone.name, fields: 5 }, from, until - 1, 100)
      return [
        ...compared(zone, '15 * * * *', change.at, found, wanted),
        ...compared(zone, 'backwards 15 * * * *', change.at, back, wanted),
      ]
    })
    console.log(`${count} due times around ${distinct.size} distinct changes`)
    expect(wrong).toEqual([])
  })

  test('the latest due times before a time are those that are found forwards', () => {
    const wrong = SHARE.flatMap((zone) =>
      zone.changes.slice(-12).flatMap((change) => {
        const timeOfDay = touched(change)[0] ?? 0
        const [from, until] = [change.at - 2 * DAY, change.at + 2 * DAY]
        const times = { cron: dailyCron(timeOfDay), timeZone: zone.name, fields: 5 } as const
        const back = latestDue(times, from, until - 1, 100)
        return compared(zone, times.cron, change.at, back, due(zone, times.cron, from, until))
      }),
    )
    expect(wrong).toEqual([])
  })

  test('the changes are as the guide says', () => {
    const kinds = new Map<string, { count: number; readonly zones: Set<string> }>()
    for (const { zone, at, before, after } of CHANGES) {
      const size = Math.abs(after - before) / MINUTE
      const start = clock((((at + before) % DAY) + DAY) % DAY)
      const name = `${after > before ? 'left out' : 'repeated'}: ${size} minutes at ${start}`
      const kind = kinds.get(name) ?? { count: 0, zones: new Set() }
      kind.count++
      kind.zones.add(zone)
      kinds.set(name, kind)
    }
    const rows = [...kinds].sort(([, a], [, b]) => b.count - a.count)
    for (const [name, { count, zones }] of rows)
      console.log(`${name}: ${count}, e.g. ${[...zones].slice(0, 3).join(', ')}`)
    expect(rows.length).toBeGreaterThan(2)
  })
})
