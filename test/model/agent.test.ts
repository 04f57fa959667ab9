import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Assignment,
  agentOf,
  holderOf,
  type Needed,
  neededOf,
  queueOf,
  queuesOf,
  type StoredAgent,
} from '../../src/model/agent.ts'

// Few values, so that agents and tasks often fit. The odd ones must not be mistaken for others.
const word = fc.constantFrom('a', 'b', '', '"', '["a"]', 'null', 'a,b', ' ')
const anyText = fc.oneof(word, fc.string({ size: 'max', maxLength: 200 }))

const assignment: fc.Arbitrary<Assignment> = fc.oneof(fc.record({ agent: anyText }), fc.record({ pool: anyText }))

const needed: fc.Arbitrary<Needed> = fc.record(
  { tenant: anyText, function: anyText, version: anyText, assignment },
  { requiredKeys: ['tenant', 'function'] },
)

const agent: fc.Arbitrary<StoredAgent> = fc
  .record({
    tenant: word,
    id: word,
    pools: fc.uniqueArray(word, { maxLength: 3 }),
    functions: fc.array(fc.record({ name: word, version: word }, { requiredKeys: ['name'] }), { maxLength: 3 }),
  })
  .map((each) => ({ ...each, name: each.id, createdBy: each.id, createdAt: 0, revision: 1 }))

const common: fc.Arbitrary<Needed> = fc.record(
  {
    tenant: word,
    function: word,
    version: word,
    assignment: fc.oneof(fc.record({ agent: word }), fc.record({ pool: word })),
  },
  { requiredKeys: ['tenant', 'function'] },
)

test('the name of a queue says what its tasks need, so tasks with other needs are in other queues', () => {
  fc.assert(
    fc.property(needed, needed, (one, other) => {
      expect(neededOf(queueOf(one))).toEqual(one)
      expect(queueOf(one) === queueOf(other)).toBe(JSON.stringify(sorted(one)) === JSON.stringify(sorted(other)))
    }),
    { size: 'max' } as never,
  )
})

test('an agent takes tasks from a queue exactly if it has the function, in the asked version, and the job is for it', () => {
  fc.assert(
    fc.property(agent, common, (each, task) => {
      const { tenant, id, pools, functions } = each
      const isFor =
        task.assignment === undefined ||
        task.assignment.agent === id ||
        pools.some((pool) => pool === task.assignment?.pool)
      const isAble = functions.some(
        ({ name, version }) => name === task.function && (task.version === undefined || task.version === version),
      )
      expect(queuesOf(each).has(queueOf(task))).toBe(task.tenant === tenant && isAble && isFor)
    }),
    { numRuns: 1_000 },
  )
})

test('a holder names an agent by tenant and id, and is never mistaken for an engine instance', () => {
  fc.assert(
    fc.property(anyText, anyText, fc.uuid(), (tenant, id, instance) => {
      expect(agentOf(holderOf({ tenant, id }))).toEqual({ tenant, id })
      expect(agentOf(instance)).toBeUndefined()
    }),
  )
})

function sorted({ tenant, function: called, version, assignment: to }: Needed): unknown {
  return [tenant, called, version, to?.agent, to?.pool]
}
