import { describe, expect, test } from 'vitest'
import { createChart } from '../../../src/model/transition.ts'
import { machineOf } from './machines.ts'
import { withoutNames } from './plans.ts'
import { forPlaces, freeze, plainMove } from './walk.ts'

describe('moves of generated charts', () => {
  test('I12 law: every event in every reached place is taken, refused, or ends the job; none throws', () => {
    forPlaces(({ plan, place, event }) => {
      const move = createChart(machineOf(plan)).move(place, event)
      if (!move.handled) expect(move).toMatchObject({ moved: false, place: { state: place.state }, actions: [] })
    })
  })

  test('I12 law: a move is pure: the same twice, on frozen places, and whatever was moved between', () => {
    const origin = freeze({ children: [{ id: 'w', src: 'work', invocation: 1 }], nextInvocation: 4 })
    forPlaces(({ plan, chart, place, event }) => {
      const moves = [chart, chart, createChart(machineOf(plan))].map((each) =>
        each.move(freeze(place), freeze(event), origin),
      )
      for (const move of moves) expect(plainMove(move)).toEqual(plainMove(moves[0]))
    })
  })

  test('the chart hears of an event by its exact name only, never by a wildcard', () => {
    forPlaces(({ plan, place, event }) => {
      if (!event.type.startsWith('task.')) return
      expect(createChart(machineOf(withoutNames(plan))).names(place, event)).toBe(false)
    })
  })
})
