import { describe, expect, test } from 'vitest'
import { createChart } from '../../../src/model/transition.ts'
import { listed } from '../../../src/model/xstate-internals.ts'
import { machineOf } from './machines.ts'
import { withoutNames } from './plans.ts'
import { forPlaces, freeze, plainMove } from './walk.ts'

describe('transitions of generated charts', () => {
  test('I12 law: every event in every reached state is taken, refused, or ends the job; none throws', () => {
    forPlaces(({ plan, snapshot, event }) => {
      const move = createChart(machineOf(plan)).transition(snapshot, event)
      if (!move.handled) expect(move).toMatchObject({ moved: false, snapshot: { state: snapshot.state }, actions: [] })
    })
  })

  test('I12 law: a transition is pure: equal when repeated, on frozen snapshots, whatever moved between', () => {
    const scope = freeze({ children: listed([{ id: 'w', src: 'work', invocation: 1 }]), nextInvocation: 4 })
    forPlaces(({ plan, chart, snapshot, event }) => {
      const moves = [chart, chart, createChart(machineOf(plan))].map((each) =>
        each.transition(freeze(snapshot), freeze(event), scope),
      )
      for (const move of moves) expect(plainMove(move)).toEqual(plainMove(moves[0]))
    })
  })

  test('the chart hears of an event by its exact name only, never by a wildcard', () => {
    forPlaces(({ plan, snapshot, event }) => {
      if (!event.type.startsWith('task.')) return
      expect(createChart(machineOf(withoutNames(plan))).transitionIfNamed(snapshot, event).handled).toBe(false)
    })
  })
})
