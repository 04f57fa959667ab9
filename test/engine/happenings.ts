import fc from 'fast-check'

/** An action or a fault. `host` picks one of the two engines; `job` and `run` count back from the newest. */
export type Happening =
  | {
      readonly do: 'submit'
      readonly host: number
      readonly type: 'function' | 'machine'
      readonly pipeline: number | null
      readonly key: number | null
    }
  | { readonly do: 'cancel'; readonly host: number; readonly job: number }
  | { readonly do: 'command'; readonly host: number; readonly job: number; readonly name: 'park' | 'back' | 'anew' }
  | { readonly do: 'finish' | 'fail' | 'report'; readonly run: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'crash' | 'restart' | 'down' | 'up' | 'mute' | 'lose'; readonly host: number }
  | { readonly do: 'spoil'; readonly host: number; readonly method: 'commit' | 'claim'; readonly fault: Fault }
  | { readonly do: 'refuse'; readonly host: number; readonly method: Reading }

type Fault = 'refused' | 'unsent' | 'unheard'
type Reading = (typeof READINGS)[number]

const READINGS = [
  'load',
  'get',
  'summary',
  'many',
  'events',
  'steps',
  'held',
  'due',
  'admissible',
  'others',
  'beat',
] as const

const host = fc.nat({ max: 1 })
const anyOf = fc.nat({ max: 30 })
const times = fc.constantFrom(1, 100, 250, 1_000, 3_000, 11_000)

function happening(lossWeight: number): fc.Arbitrary<Happening> {
  const happen = <Kind extends Happening['do']>(...kinds: readonly Kind[]) => ({ do: fc.constantFrom(...kinds) })
  const submit = fc.record({
    ...happen('submit'),
    host,
    type: fc.constantFrom<'function' | 'machine'>('function', 'machine'),
    pipeline: fc.option(fc.nat({ max: 2 })),
    key: fc.option(fc.nat({ max: 3 })),
  })
  const command = fc.record({
    ...happen('command'),
    host,
    job: anyOf,
    name: fc.constantFrom<'park' | 'back' | 'anew'>('park', 'back', 'anew'),
  })
  const spoil = fc.record({
    ...happen('spoil'),
    host,
    method: fc.constantFrom<'commit' | 'claim'>('commit', 'claim'),
    fault: fc.constantFrom<Fault>('refused', 'unsent', 'unheard'),
  })
  const method = fc.constantFrom(...READINGS)
  return fc.oneof(
    { weight: 8, arbitrary: submit },
    { weight: 3, arbitrary: fc.record({ ...happen('cancel'), host, job: anyOf }) },
    { weight: 4, arbitrary: command },
    { weight: 8, arbitrary: fc.record({ ...happen('finish', 'fail', 'report'), run: anyOf }) },
    { weight: 5, arbitrary: fc.record({ ...happen('advance'), ms: times }) },
    { weight: 4, arbitrary: fc.record({ ...happen('crash', 'restart', 'down', 'up', 'mute'), host }) },
    { weight: 4, arbitrary: spoil },
    { weight: 4, arbitrary: fc.record({ ...happen('refuse'), host, method }) },
    { weight: lossWeight, arbitrary: fc.record({ ...happen('lose'), host }) },
  )
}

/** Random actions and faults, without those that hide the outcome of a write. */
export const withTellingStorage = happening(0)
/** All random actions and faults, including those that hide the outcome of a write. */
export const withAnyStorage = happening(4)
