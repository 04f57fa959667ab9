import type { ChartAction, ChartScope, StartAction, TransitionResult } from './chart.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { type InlineTransition, startInline } from './inline.ts'
import type { Task } from './task-record.ts'

/** Returns the first transition of a child job, or throws the error that its chart threw. */
export type First = () => TransitionResult

/** The first transitions of new children. Each is computed once, when it is first asked for. */
export class FirstTransitions {
  readonly #type: AnyJobType
  readonly #scopeOf: (child: Pick<Task, 'invocation' | 'id'>) => ChartScope
  readonly #jobs = new Map<number, First>()
  readonly #inline = new Map<number, InlineTransition>()

  /** @param scopeOf  returns the scope for the first transition of a child. */
  constructor(type: AnyJobType, scopeOf: (child: Pick<Task, 'invocation' | 'id'>) => ChartScope) {
    this.#type = type
    this.#scopeOf = scopeOf
  }

  /** The first transition of a child job. */
  ofJob(child: AnyJobType, start: Pick<Task, 'invocation' | 'id' | 'input'>): First {
    const { invocation, input } = start
    const given = child.chartTakesInput ? input : undefined
    const first = this.#jobs.get(invocation) ?? computed(() => child.chart.start(given, this.#scopeOf(start)))
    this.#jobs.set(invocation, first)
    return first
  }

  /** The first state of transition logic. */
  ofInline(start: Pick<Task, 'invocation' | 'id' | 'src' | 'input'>): InlineTransition {
    const result = this.#inline.get(start.invocation) ?? startInline(this.#type, start, this.#scopeOf(start))
    this.#inline.set(start.invocation, result)
    return result
  }

  /**
   * Puts the actions of a job's own first transition in the order of a live XState actor: first start the children that
   * do not end at once, then the children spawned by an assign, then the rest. A transition that threw has no actions.
   *
   * @param isHeldBack  true: the job waits for its admission, so its child jobs do not begin yet.
   */
  order({ actions, end }: TransitionResult, isHeldBack: boolean): readonly ChartAction[] {
    if (end !== undefined) return end.kind === 'error' ? [] : actions
    const starts = actions.filter((action) => action.kind === 'start')
    const goesOn = starts.filter((start) => !this.#endsAtOnce(start, isHeldBack))
    const first = new Set<ChartAction>([...goesOn, ...starts.filter(({ isSpawned }) => isSpawned)])
    return [...first, ...actions.filter((action) => !first.has(action))]
  }

  #endsAtOnce(action: StartAction, isHeldBack: boolean): boolean {
    const child = childTypeOf(this.#type, action.src)
    if (child !== undefined) return !isHeldBack && hasEnd(this.ofJob(child, action))
    return this.#type.inline.has(action.src) && this.ofInline(action).event !== undefined
  }
}

function computed(compute: First): First {
  try {
    const result = compute()
    return () => result
  } catch (error) {
    return () => {
      throw error
    }
  }
}

// Whether a child job ends in its first transition. A child whose first transition throws ends too: with that error.
function hasEnd(first: First): boolean {
  try {
    return first().end !== undefined
  } catch {
    return true
  }
}
