/**
 * Checks the policy against the guarantees of its port. Your tests would pass the `test` of their own runner.
 *
 *     npm run example -- --test examples/write-your-own-policy/check.ts
 */
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { authorizationConformance } from 'jobchart/testing'
import { createMemberships, ProjectPolicy } from './policy.ts'

authorizationConformance(
  () => {
    const database = new DatabaseSync(':memory:')
    createMemberships(database)
    database.exec(`
      insert into memberships values
        ('acme', 'lea', 'sleep', 'lead'), ('acme', 'mo', 'sleep', 'member'), ('acme', 'ria', 'sleep', 'reader'),
        ('acme', 'mo', 'food', 'lead'), ('globex', 'gus', 'sleep', 'lead')
    `)
    return {
      policy: new ProjectPolicy(database),
      principals: [
        { id: 'lea', tenant: 'acme' },
        { id: 'mo', tenant: 'acme' },
        { id: 'ria', tenant: 'acme' },
        { id: 'gus', tenant: 'globex' },
      ],
      targets: [
        { tenant: 'acme', createdBy: 'mo', labels: { project: 'sleep' } },
        { tenant: 'acme', createdBy: 'mo', labels: { project: 'food' } },
        { tenant: 'globex', createdBy: 'gus', labels: { project: 'sleep' } },
        { tenant: 'acme', createdBy: 'ria' },
      ],
      dispose: () => database.close(),
    }
  },
  { test },
)
