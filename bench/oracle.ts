import { join } from 'node:path'
import { createEngine, defineJob, JobchartError, type Policy, rolePolicy, type Session } from 'jobchart'
import { caughtStorage } from './caught-storage.ts'
import type { Measured } from './measure.ts'
import { quantile } from './statistics.ts'

/** Calls that are timed of a hidden id, and as many of one that names no job. */
export const SAMPLES = 10_000
const WARM_UP = 2_000
const HIDDEN_JOBS = 16
/** One mebibyte as JSON: a job that was read before the policy was asked would be seen by it. */
const INPUT_CHARACTERS = 1_048_574

const roles = rolePolicy()

const POLICIES: { readonly [name: string]: Policy } = {
  sync: roles,
  async: {
    authorize: async (...question) => {
      await Promise.resolve()
      return await roles.authorize(...question)
    },
    scope: async (...question) => await roles.scope(...question),
  },
}

const METHODS: { readonly [name: string]: (session: Session, id: string) => Promise<unknown> } = {
  get: (session, id) => session.get(id),
  cancel: (session, id) => session.cancel(id),
  history: (session, id) => session.history(id),
}

/** What is measured: each method with a policy that answers at once, and with one that does not. */
export const ORACLES: readonly string[] = Object.keys(METHODS).flatMap((method) =>
  Object.keys(POLICIES).map((policy) => `${method}-${policy}`),
)

/**
 * Microseconds until somebody who may not see a job is told that there is none, where there is one of 1 MiB and where there
 * is none, in an order of chance; and how well the one could be told from the other by it. SQLite FULL.
 *
 * @param name  one of {@link ORACLES}.
 */
export async function oracle(name: string, samples: number, folder: string): Promise<Measured> {
  const [method = '', policyName = ''] = name.split('-')
  const [call, policy] = [METHODS[method], POLICIES[policyName]]
  if (call === undefined || policy === undefined) throw new Error(`there is no oracle "${name}"`)
  const { storage } = caughtStorage(join(folder, 'jobchart.db'), 'full')
  const large = defineJob({ type: 'large', execute: () => undefined })
  const engine = await createEngine({ jobs: [large], storage, policy })
  try {
    const ada = engine.as({ id: 'ada', role: 'editor' })
    const hidden: string[] = []
    for (let n = 0; n < HIDDEN_JOBS; n++) {
      const { id } = await ada.submit(large, 'x'.repeat(INPUT_CHARACTERS))
      await ada.result(id)
      hidden.push(id)
    }
    await engine.idle()
    const bob = engine.as({ id: 'bob', role: 'editor' })
    const hiddenUs: number[] = []
    const absentUs: number[] = []
    for (let n = 0; n < WARM_UP + 2 * samples; n++) {
      const isHidden = Math.random() < 0.5
      const known = hidden[n % HIDDEN_JOBS] ?? ''
      const us = await timeUs(call, bob, isHidden ? known : besides(known))
      if (n >= WARM_UP) (isHidden ? hiddenUs : absentUs).push(us)
    }
    return { figures: figuresOf(hiddenUs, absentUs), facts: {} }
  } finally {
    await engine.stop()
  }
}

// Beside the other in every index, so that what is looked up is as near.
function besides(id: string): string {
  const last = Math.floor(Math.random() * 0x1_0000_0000_0000)
  return `${id.slice(0, -12)}${last.toString(16).padStart(12, '0')}`
}

async function timeUs(
  call: (session: Session, id: string) => Promise<unknown>,
  session: Session,
  id: string,
): Promise<number> {
  const begin = performance.now()
  try {
    await call(session, id)
  } catch (error) {
    const us = (performance.now() - begin) * 1_000
    if (error instanceof JobchartError && error.code === 'JOB_NOT_FOUND') return us
    throw error
  }
  throw new Error('a job was shown to whom it is hidden from')
}

function figuresOf(hiddenUs: readonly number[], absentUs: readonly number[]): Measured['figures'] {
  return {
    hidden50Us: quantile(hiddenUs, 0.5),
    absent50Us: quantile(absentUs, 0.5),
    hidden95Us: quantile(hiddenUs, 0.95),
    absent95Us: quantile(absentUs, 0.95),
    slowerShare: slowerShare(hiddenUs, absentUs),
  }
}

/**
 * How often one of `a` is larger than one of `b`, of all pairs: the area under the ROC curve. 0.5: neither can be told from
 * the other by its size.
 */
function slowerShare(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((us) => ({ us, isA: true })), ...b.map((us) => ({ us, isA: false }))]
  all.sort((one, other) => one.us - other.us)
  let rankSum = 0
  for (let from = 0; from < all.length; ) {
    let to = from
    while (to < all.length && all[to]?.us === all[from]?.us) to++
    // Equal ones share the mean of their ranks, which begin at 1.
    const rank = (from + 1 + to) / 2
    for (let index = from; index < to; index++) if (all[index]?.isA === true) rankSum += rank
    from = to
  }
  return (rankSum - (a.length * (a.length + 1)) / 2) / (a.length * b.length)
}
