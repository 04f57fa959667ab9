/**
 * Makes one measurement in this process, and prints it as JSON. `run.ts` starts this file for each measurement. You can
 * also run it under a profiler:
 *
 * ```
 * node --cpu-prof bench/measure.ts closed jobchart-memory 20000 .
 * ```
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Facts } from './subjects/subject.ts'

/** The result of one measurement. The name of each figure ends in its unit. */
export interface Measured {
  readonly figures: { readonly [name: string]: number }
  readonly facts: Facts
}

/** Which measurement to make, and the folder that it may use. */
interface Asked {
  readonly kind: string
  readonly name: string
  readonly jobs: number
  readonly folder: string
  readonly against: string | undefined
}

// Each kind is imported only when it is measured, so that the process holds no code of the others.
async function measure({ kind, name, jobs, folder, against }: Asked): Promise<Measured> {
  switch (kind) {
    case 'closed':
    case 'stored': {
      const { throughput } = await import('./throughput.ts')
      return await throughput({ load: kind, name, jobs, folder, against })
    }
    case 'promises': {
      const { promises } = await import('./promises.ts')
      return await promises({ load: 'closed', name, jobs, folder, against })
    }
    case 'latency': {
      const { latency } = await import('./latency.ts')
      return await latency(folder)
    }
    case 'blocking': {
      const { blocking } = await import('./blocking.ts')
      return await blocking(name, jobs, folder)
    }
    case 'due': {
      const { due } = await import('./due.ts')
      return await due(name, jobs, folder)
    }
    case 'tree': {
      const { tree } = await import('./tree.ts')
      return await tree(name, jobs, folder)
    }
    case 'actions': {
      const { pageActions } = await import('./page-actions.ts')
      return await pageActions(folder)
    }
    case 'events': {
      const { following } = await import('./following.ts')
      return await following(name, folder)
    }
    case 'transition': {
      const { measureTransitions } = await import('./transition.ts')
      return await measureTransitions(name)
    }
    case 'memory': {
      const { measureMemory } = await import('./transition.ts')
      return await measureMemory(name)
    }
    case 'waiting': {
      const { waiting } = await import('./waiting.ts')
      return await waiting(jobs, folder)
    }
    case 'prune': {
      const { prune } = await import('./prune.ts')
      return await prune(name, jobs, folder)
    }
    case 'heap': {
      const { heap } = await import('./heap.ts')
      return await heap(jobs, folder)
    }
    case 'items': {
      const { storedItems } = await import('./items.ts')
      return await storedItems(name, jobs, folder)
    }
    case 'list': {
      const { lists } = await import('./list.ts')
      return await lists(name, jobs, folder)
    }
    default:
      throw new Error(`no measurement "${kind}"`)
  }
}

if (import.meta.main) {
  const [kind = '', name = '', jobs = '1000', parent = '.', against] = process.argv.slice(2)
  const folder = await mkdtemp(join(resolve(parent), 'jobchart-bench-'))
  try {
    console.log(JSON.stringify(await measure({ kind, name, jobs: Number(jobs), folder, against })))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
