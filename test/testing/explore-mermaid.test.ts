import { defineJob } from 'jobchart'
import { explore, mermaidOf } from 'jobchart/testing'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'

test('a map is drawn with its states by name, its start and ends, and the events between two states on one arrow', () => {
  const map = explore(defineJob({ type: 'plain', execute: () => 'done' }))
  expect(mermaidOf(map).split('\n')).toEqual([
    'stateDiagram-v2',
    '  state "cancelled" as s0',
    '  state "completed" as s1',
    '  state "failed" as s2',
    '  state "queued" as s3',
    '  state "running" as s4',
    '  [*] --> s3',
    '  s3 --> s0 : cancel',
    '  s3 --> s4 : task.started',
    '  s4 --> s0 : cancel',
    '  s4 --> s3 : task.lost, task.released',
    '  s4 --> s1 : xstate.done.actor.execute',
    '  s4 --> s2 : xstate.error.actor.execute',
    '  s0 --> [*]',
    '  s1 --> [*]',
    '  s2 --> [*]',
    '',
  ])
})

test('no name breaks the diagram text', () => {
  const on = { 'go: "now";': 'end', leave: 'end' }
  const lifecycle = createMachine({ initial: 'a "b"', states: { 'a "b"': { on }, end: { type: 'final' } } })
  const commands = { 'go: "now";': z.object({}), leave: z.object({}) }
  const drawn = mermaidOf(explore(defineJob({ type: 't', lifecycle, commands })))
  expect(drawn).toContain('state "a b " as s0\n')
  expect(drawn).toContain('s0 --> s1 : go now , leave\n')
})
