import type { ChartAction, ChartScope, StartAction, TransitionResult } from './chart.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { type InlineTransition, startInline } from './inline.ts'
import type { Task } from './task-record.ts'

/** The first transition of a child job: gives it, or throws what its chart threw. */
export type First = () => TransitionResult

/** What children become at once, each computed when it is first asked for, and no second time. */
export class FirstTransitions {
  readonly #type: AnyJobType
  readonly #scopeOf: (child: Pick<Task, 'invocation' | 'id'>) => ChartScope
  readonly #jobs = new Map<number, First>()
  readonly #inline = new Map<number, InlineTransition>()

  /** @param scopeOf  what a child that begins has around it. */
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

  /** The first state of logic that moves with its job. */
  ofInline(start: Pick<Task, 'invocation' | 'id' | 'src' | 'input'>): InlineTransition {
    const result = this.#inline.get(start.invocation) ?? startInline(this.#type, start, this.#scopeOf(start))
    this.#inline.set(start.invocation, result)
    return result
  }

  /**
   * What is done of a job's own first transition, in its order. As a live actor begins: children that go on are started
   * before all else, then those that an assign has spawned, and nothing is done of a transition that threw.
   *
   * @param isHeldBack  child jobs do not begin yet.
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

// What is thrown ends the child, when it begins.
function hasEnd(first: First): boolean {
  try {
    return first().end !== undefined
  } catch {
    return true
  }
}
