import { describe, expect, test } from 'vitest'
import { createChart } from '../../../src/model/transition.ts'
import { listed } from '../../../src/model/xstate-internals.ts'
import { machineOf } from './machines.ts'
import { withoutNames } from './plans.ts'
import { forSnapshots, freeze, plainResult } from './walk.ts'

describe('transitions of generated charts', () => {
  test('I12 law: every event in every reached state is taken, refused, or ends the job; none throws', () => {
    forSnapshots(({ plan, snapshot, event }) => {
      const result = createChart(machineOf(plan)).transition(snapshot, event)
      if (!result.handled)
        expect(result).toMatchObject({ moved: false, snapshot: { state: snapshot.state }, actions: [] })
    })
  })

  test('I12 law: a transition is pure: equal when repeated, on frozen snapshots, whatever moved between', () => {
    const scope = freeze({ children: listed([{ id: 'w', src: 'work', invocation: 1 }]), nextInvocation: 4 })
    forSnapshots(({ plan, chart, snapshot, event }) => {
      const results = [chart, chart, createChart(machineOf(plan))].map((each) =>
        each.transition(freeze(snapshot), freeze(event), scope),
      )
      for (const result of results) expect(plainResult(result)).toEqual(plainResult(results[0]))
    })
  })

  test('the chart hears of an event by its exact name only, never by a wildcard', () => {
    forSnapshots(({ plan, snapshot, event }) => {
      if (!event.type.startsWith('task.')) return
      expect(createChart(machineOf(withoutNames(plan))).transitionIfNamed(snapshot, event).handled).toBe(false)
    })
  })
})
