import { describe } from 'vitest'
import { applicantDecision } from './machines/applicant-decision.ts'
import { carAuction } from './machines/car-auction.ts'
import { checkInbox } from './machines/check-inbox.ts'
import { creditCheck } from './machines/credit-check.ts'
import { jobMonitoring } from './machines/job-monitoring.ts'
import { parallelExecution } from './machines/parallel-execution.ts'
import { patientOnboarding } from './machines/patient-onboarding.ts'
import { provisionOrders } from './machines/provision-orders.ts'
import { purchaseOrder } from './machines/purchase-order.ts'
import { paidOrder, paymentProcessing } from './machines/reusing-functions.ts'
import type { Outside } from './outside.ts'
import { fidelity } from './run.ts'
import { command, fail, finish, wait } from './script.ts'

const MINUTE = 60_000
const DAY = 86_400_000

describe('a purchase order with a deadline', () => {
  const subject = {
    build: (outside: Outside) => purchaseOrder.provide({ actions: { tellBuyer: (_, { text }) => outside.note(text) } }),
    input: { orderId: 'po-1' },
    commands: ['order.confirmed', 'shipment.sent', 'delivery.noticed'],
  }

  fidelity('a purchase order that is not confirmed in time is cancelled', {
    ...subject,
    script: [wait(29 * DAY), command('shipment.sent', { tracking: 'early' }), wait(DAY)],
    end: {
      value: 'cancelled',
      outcome: 'cancelled',
      output: { orderId: 'po-1', tracking: null },
      effects: ['deadline passed'],
    },
  })

  fidelity('a purchase order that is confirmed, shipped and delivered is completed', {
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

  fidelity('a purchase order without notice of delivery counts as delivered after three days', {
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

describe('a credit check', () => {
  const subject = {
    build: (outside: Outside) =>
      creditCheck.provide({
        actors: {
          askOffice: outside.promise('askOffice'),
          mailApproval: outside.promise('mailApproval'),
          mailDenial: outside.promise('mailDenial'),
        },
      }),
    input: { customer: { id: 'c-1', salary: 50_000 } },
    commands: [],
  }

  fidelity('a credit check that the office approves ends with a mail of approval', {
    ...subject,
    script: [wait(MINUTE), finish('askOffice', { decision: 'Approved', score: 700 }), finish('mailApproval')],
    end: { value: 'approved', outcome: 'success', output: { customer: 'c-1', decision: 'Approved' } },
  })

  fidelity('a credit check that the office denies ends with a mail of denial', {
    ...subject,
    script: [finish('askOffice', { decision: 'Denied', score: 300 }), finish('mailDenial')],
    end: { value: 'denied', outcome: 'success', output: { customer: 'c-1', decision: 'Denied' } },
  })

  fidelity('a credit check whose office fails is unavailable', {
    ...subject,
    script: [fail('askOffice', new Error('the office is closed'))],
    end: {
      value: 'unavailable',
      outcome: 'failure',
      output: { customer: 'c-1', decision: 'the office is closed' },
      error: 'the office is closed',
    },
  })

  fidelity('a credit check whose office never answers is unavailable after 15 minutes', {
    ...subject,
    script: [wait(14 * MINUTE), wait(MINUTE)],
    end: {
      value: 'unavailable',
      outcome: 'failure',
      output: { customer: 'c-1', decision: 'no answer within 15 minutes' },
    },
  })
})

describe('parallel execution', () => {
  fidelity('parallel execution ends when the longer of two waits has ended', {
    build: () => parallelExecution,
    commands: [],
    script: [wait(2_000), wait(57_000), wait(1_000)],
    end: { value: 'end', outcome: 'success' },
  })

  fidelity('parallel execution also ends if both waits end at the same time', {
    build: () => parallelExecution,
    commands: [],
    script: [wait(60_000)],
    end: { value: 'end', outcome: 'success' },
  })
})

describe('an inbox that is checked every 15 minutes', () => {
  fidelity('an inbox check sends a text for each urgent message, until it is closed', {
    build: (outside) =>
      checkInbox.provide({
        actors: {
          checkInboxFunction: outside.promise('checkInboxFunction'),
          sendTextFunction: outside.promise('sendTextFunction'),
        },
      }),
    commands: ['close'],
    script: [
      wait(15 * MINUTE),
      finish('checkInboxFunction', [
        { subject: 'fire', isUrgent: true },
        { subject: 'news', isUrgent: false },
        { subject: 'flood', isUrgent: true },
      ]),
      finish('sendTextFunction', 'fire sent'),
      finish('sendTextFunction', 'flood sent'),
      wait(15 * MINUTE),
      fail('checkInboxFunction', new Error('no connection')),
      wait(15 * MINUTE),
      finish('checkInboxFunction', []),
      wait(MINUTE),
      command('close'),
    ],
    end: { value: 'closed', outcome: 'success', output: ['fire sent', 'flood sent'] },
  })
})

describe('a car auction', () => {
  const subject = { build: () => carAuction, input: { carId: 'vw', openMs: 3 * DAY }, commands: ['CarBidEvent'] }
  const bid = (bidder: string, amount: number) => ({ bid: { carId: 'vw', bidder, amount } })

  fidelity('an auction is won by the highest bid', {
    ...subject,
    script: [
      command('CarBidEvent', bid('ada', 3_000)),
      wait(DAY),
      command('CarBidEvent', bid('bob', 4_000)),
      command('CarBidEvent', bid('ada', 3_500)),
      wait(2 * DAY),
      command('CarBidEvent', bid('late', 9_000)),
    ],
    end: {
      value: 'sold',
      outcome: 'success',
      output: { winner: { carId: 'vw', bidder: 'bob', amount: 4_000 }, count: 2 },
    },
  })

  fidelity('an auction without bids ends unsold', {
    ...subject,
    script: [wait(3 * DAY)],
    end: { value: 'unsold', outcome: 'success', output: { winner: null, count: 0 } },
  })
})

describe('the onboarding of a patient', () => {
  const subject = {
    build: (outside: Outside) =>
      patientOnboarding.provide({
        actors: {
          storePatient: outside.promise('storePatient'),
          assignDoctor: outside.promise('assignDoctor'),
          scheduleAppointment: outside.promise('scheduleAppointment'),
        },
      }),
    commands: ['NewPatientEvent'],
  }
  const arrives = command('NewPatientEvent', { name: 'kim', condition: 'cough' })

  fidelity('onboarding asks for a doctor again when the service is away', {
    ...subject,
    script: [
      arrives,
      finish('storePatient'),
      fail('assignDoctor', new Error('ServiceNotAvailable')),
      wait(3_000),
      fail('assignDoctor', { message: 'ServiceNotAvailable' }),
      wait(3_000),
      finish('assignDoctor', { doctor: 'dr. may' }),
      finish('scheduleAppointment', 'monday'),
    ],
    end: { value: 'onboarded', outcome: 'success', output: { doctor: 'dr. may', time: 'monday', tries: 3 } },
  })

  fidelity('onboarding gives up after ten tries', {
    ...subject,
    script: [
      arrives,
      finish('storePatient'),
      ...Array.from({ length: 9 }, () => [fail('assignDoctor', new Error('ServiceNotAvailable')), wait(3_000)]).flat(),
      fail('assignDoctor', new Error('ServiceNotAvailable')),
    ],
    end: { value: 'failed', outcome: 'failure', output: { tries: 10 }, error: 'ServiceNotAvailable' },
  })

  fidelity('onboarding fails at once on another error', {
    ...subject,
    script: [arrives, finish('storePatient'), fail('assignDoctor', new Error('no such condition'))],
    end: { value: 'failed', outcome: 'failure', output: { tries: 1 }, error: 'no such condition' },
  })
})

describe('an order whose payment is a machine of its own', () => {
  const subject = {
    build: (outside: Outside) =>
      paidOrder.provide({
        actors: {
          paymentProcessing: paymentProcessing.provide({ actors: { chargeCard: outside.promise('chargeCard') } }),
        },
      }),
    input: { orderId: 'o-1', amount: 12 },
    commands: ['CONFIRM'],
  }

  fidelity('an order hears of the payment and is settled', {
    ...subject,
    script: [command('CONFIRM'), wait(DAY), finish('chargeCard', 'r-9')],
    end: {
      value: 'settled',
      outcome: 'success',
      output: { heard: ['PAYMENT_STARTED', 'PAYMENT_RECEIVED'], receipt: 'r-9' },
    },
  })

  fidelity('an order is declined when the card is declined', {
    ...subject,
    script: [command('CONFIRM'), fail('chargeCard', new Error('no money'))],
    end: { value: 'declined', outcome: 'failure', output: { heard: ['PAYMENT_STARTED', 'PAYMENT_DECLINED'] } },
  })
})

describe('the provision of an order', () => {
  const subject = {
    build: (outside: Outside) =>
      provisionOrders({
        provision: (order) => outside.call('provision', order),
        handle: (problem) => outside.call('handle', problem),
      }),
    input: { order: { id: 'o-1', item: 'laptop', quantity: 3 } },
    commands: [],
  }

  fidelity('a valid order gives a parcel', {
    ...subject,
    script: [finish('provision', { parcel: 'p-1' })],
    end: { value: 'provisioned', outcome: 'success', output: { parcel: 'p-1', note: null } },
  })

  fidelity('an order with a missing item takes the route for that', {
    ...subject,
    script: [fail('provision', new Error('missing item')), finish('handle', 'asked for the item')],
    end: { value: 'handled', outcome: 'success', output: { parcel: null, note: 'asked for the item' } },
  })

  fidelity('an order that fails for an unknown reason ends as that error', {
    ...subject,
    script: [fail('provision', new Error('the roof is gone'))],
    end: { value: 'provisioning', outcome: 'failure', error: 'the roof is gone' },
  })
})

describe('the decision about an applicant', () => {
  const build = (outside: Outside) =>
    applicantDecision.provide({ actors: { sendRejection: outside.promise('sendRejection') } })

  fidelity('an applicant of age starts the application', {
    build,
    input: { applicant: { name: 'lee', age: 18 } },
    commands: ['Submit'],
    script: [command('Submit'), wait(4_999), wait(1)],
    end: {
      value: 'end',
      outcome: 'success',
      output: { applicant: { name: 'lee', age: 18 }, file: 'file of lee' },
    },
  })

  fidelity('an applicant who is too young is rejected by mail', {
    build,
    input: { applicant: { name: 'max', age: 17 } },
    commands: ['Submit'],
    script: [command('Submit'), finish('sendRejection', 'max')],
    end: { value: 'rejected', outcome: 'cancelled', output: { applicant: { name: 'max', age: 17 } } },
  })
})

describe('the monitoring of a job elsewhere', () => {
  const subject = {
    build: (outside: Outside) =>
      jobMonitoring.provide({
        actors: {
          submitJob: outside.promise('submitJob'),
          checkJobStatus: outside.promise('checkJobStatus'),
          report: outside.promise('report'),
        },
      }),
    input: { name: 'render' },
    commands: [],
  }

  fidelity('monitoring asks every five seconds until the job has succeeded', {
    ...subject,
    script: [
      finish('submitJob', { jobId: 'j-1' }),
      wait(5_000),
      finish('checkJobStatus', { status: 'SUBMITTED' }),
      wait(5_000),
      fail('checkJobStatus', new Error('busy')),
      wait(5_000),
      finish('checkJobStatus', { status: 'SUCCEEDED' }),
      finish('report'),
    ],
    end: { value: 'succeeded', outcome: 'success', output: { jobId: 'j-1', status: 'SUCCEEDED', polls: 2 } },
  })

  fidelity('monitoring reports that the job has failed', {
    ...subject,
    script: [
      finish('submitJob', { jobId: 'j-2' }),
      wait(5_000),
      finish('checkJobStatus', { status: 'FAILED' }),
      finish('report'),
    ],
    end: { value: 'failed', outcome: 'failure', output: { jobId: 'j-2', status: 'FAILED', polls: 1 } },
  })
})
