import { describe } from 'vitest'
import { purchaseOrder } from './machines/purchase-order.ts'
import type { Outside } from './outside.ts'
import { fidelity } from './run.ts'
import { command, wait } from './script.ts'

const DAY = 86_400_000

describe('a purchase order with a deadline', () => {
  const subject = {
    build: (outside: Outside) => purchaseOrder.provide({ actions: { tellBuyer: (_, { text }) => outside.note(text) } }),
    input: { orderId: 'po-1' },
    commands: ['order.confirmed', 'shipment.sent', 'delivery.noticed'],
  }

  fidelity('that is not confirmed in time is cancelled', {
    ...subject,
    script: [wait(29 * DAY), command('shipment.sent', { tracking: 'early' }), wait(DAY)],
    end: {
      value: 'cancelled',
      outcome: 'cancelled',
      output: { orderId: 'po-1', tracking: null },
      effects: ['deadline passed'],
    },
  })

  fidelity('that is confirmed, shipped and delivered is completed', {
    ...subject,
    script: [
      wait(DAY),
      command('order.confirmed', { supplier: 'acme' }),
      wait(2 * DAY),
      command('shipment.sent', { tracking: 't-7' }),
      command('delivery.noticed'),
    ],
    end: {
      value: 'completed',
      outcome: 'success',
      output: { orderId: 'po-1', tracking: 't-7' },
      effects: ['delivered t-7'],
    },
  })

  fidelity('whose delivery nobody notices is taken as delivered after three days', {
    ...subject,
    script: [
      command('order.confirmed', { supplier: 'acme' }),
      command('shipment.sent', { tracking: 't-8' }),
      wait(3 * DAY),
    ],
    end: {
      value: 'completed',
      outcome: 'success',
      output: { orderId: 'po-1', tracking: 't-8' },
      effects: ['delivered t-8'],
    },
  })
})
