import { describe } from 'vitest'
import { bookLending } from './machines/book-lending.ts'
import { carVitals, vitalsCheck } from './machines/car-vitals.ts'
import { vetAppointment } from './machines/event-based-service.ts'
import { fillingGlass } from './machines/filling-glass.ts'
import { finalizeApplication } from './machines/finalize-application.ts'
import { mathProblems } from './machines/math-problems.ts'
import { roomReadings } from './machines/room-readings.ts'
import { sendEmail, sendEmails } from './machines/send-emails.ts'
import { visaDecision } from './machines/visa-decision.ts'
import { vitalSigns } from './machines/vital-signs.ts'
import type { Outside } from './outside.ts'
import { fidelity } from './run.ts'
import { command, fail, finish, tell, wait } from './script.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

describe('the vital signs of a patient', () => {
  fidelity('vital signs out of their range each raise an alarm', {
    build: (outside) =>
      vitalSigns.provide({
        actors: { monitor: outside.callback('monitor') },
        actions: { callNurse: () => outside.note('nurse') },
      }),
    input: { patient: 'kim' },
    commands: ['SWITCH_OFF'],

    script: [
      tell('monitor', 'TEMPERATURE', { value: 37 }),
      tell('monitor', 'PULSE', { value: 130 }),
      command('SWITCH_OFF'),
    ],
    end: {
      value: 'off',
      outcome: 'success',
      output: { readings: 2, alarms: ['pulse 130'] },
      emitted: [{ type: 'alarm', of: 'pulse', value: 130 }],
    },
  })

  fidelity('vital signs call the nurse at the first fever only', {
    build: (outside) =>
      vitalSigns.provide({
        actors: { monitor: outside.callback('monitor') },
        actions: { callNurse: () => outside.note('nurse') },
      }),
    input: { patient: 'kim' },
    commands: ['SWITCH_OFF'],

    script: [
      tell('monitor', 'TEMPERATURE', { value: 40 }),
      tell('monitor', 'TEMPERATURE', { value: 41 }),
      tell('monitor', 'BREATH', { value: 12 }),
      tell('monitor', 'TEMPERATURE', { value: 36 }),
      command('SWITCH_OFF'),
    ],
    end: {
      value: 'off',
      outcome: 'success',
      output: { readings: 4, alarms: ['fever 40', 'fever 41'] },
      emitted: [
        { type: 'alarm', of: 'fever', value: 40 },
        { type: 'alarm', of: 'fever', value: 41 },
        { type: 'alarm', of: 'breath', value: 0 },
      ],
      effects: ['nurse'],
    },
  })
})

describe('a college application', () => {
  const subject = {
    build: () => finalizeApplication,
    commands: ['ApplicationSubmitted', 'SATScoresReceived', 'RecommendationLetterReceived', 'Withdraw'],
  }

  fidelity('an application is finalized when its last piece arrives', {
    ...subject,
    script: [
      command('SATScoresReceived'),
      command('SATScoresReceived'),
      wait(DAY),
      command('RecommendationLetterReceived'),
      command('ApplicationSubmitted'),
    ],
    end: { value: 'finalized', outcome: 'success', output: 'complete' },
  })

  fidelity('an application can be withdrawn', {
    ...subject,
    script: [command('ApplicationSubmitted'), command('Withdraw')],
    end: { value: 'withdrawn', outcome: 'cancelled', output: 'withdrawn' },
  })
})

describe('an appointment at the vet', () => {
  fidelity('an appointment is requested again if nobody answers within 15 seconds', {
    build: () => vetAppointment,
    commands: ['MakeVetAppointment', 'VetAppointmentInfo'],
    script: [
      command('MakeVetAppointment', { name: 'rex', illness: 'flu' }),
      wait(15_000),
      command('VetAppointmentInfo', { doctor: 'dr. late', at: 'monday' }),
      command('MakeVetAppointment', { name: 'rex', illness: 'flu' }),
      wait(14_000),
      command('VetAppointmentInfo', { doctor: 'dr. may', at: 'friday' }),
      wait(15_000),
    ],
    end: {
      value: 'made',
      outcome: 'success',
      output: { doctor: 'dr. may', at: 'friday' },
      emitted: [
        { type: 'vet.appointment.wanted', name: 'rex' },
        { type: 'vet.appointment.wanted', name: 'rex' },
      ],
    },
  })
})

describe('a glass of water', () => {
  const build = (outside: Outside) => fillingGlass.provide({ actors: { addWater: outside.promise('addWater') } })

  fidelity('a glass is filled until it is full', {
    build,
    input: { max: 3 },
    commands: [],
    script: [finish('addWater', 1), finish('addWater', 2), finish('addWater', 3)],
    end: { value: 'full', outcome: 'success', output: { glasses: 3 } },
  })

  fidelity('a glass without capacity is full at once', {
    build,
    input: { max: 0 },
    commands: [],
    script: [],
    end: { value: 'full', outcome: 'success', output: { glasses: 0 } },
  })
})

describe('the readings of a room', () => {
  const reading = (type: 'TemperatureEvent' | 'HumidityEvent', value: number) => command(type, { value })

  fidelity('readings are reported every hour, and again if the report fails', {
    build: (outside) => roomReadings.provide({ actors: { produceReport: outside.promise('produceReport') } }),
    input: { room: 'kitchen' },
    commands: ['TemperatureEvent', 'HumidityEvent', 'Vacated'],
    script: [
      reading('TemperatureEvent', 21),
      reading('HumidityEvent', 40),
      wait(HOUR),
      fail('produceReport', new Error('out of paper')),
      finish('produceReport'),
      wait(HOUR / 2),
      reading('TemperatureEvent', 22),
      wait(HOUR / 2),
      reading('TemperatureEvent', 23),
      finish('produceReport'),
      reading('TemperatureEvent', 24),
      command('Vacated'),
    ],
    end: { value: 'vacated', outcome: 'success', output: { reports: 2, unreported: 1 } },
  })
})

describe('a book', () => {
  const subject = {
    build: (outside: Outside) =>
      bookLending.provide({
        actors: {
          getStatus: outside.promise('getStatus'),
          sendStatus: outside.promise('sendStatus'),
          requestHold: outside.promise('requestHold'),
          cancelHold: outside.promise('cancelHold'),
          checkOut: outside.promise('checkOut'),
          notifyLender: outside.promise('notifyLender'),
        },
      }),
    commands: ['bookLendingRequest', 'holdBook', 'declineBookhold'],
  }
  const asked = command('bookLendingRequest', { title: 'Dune', lender: { name: 'ada' } })

  fidelity('a book that is out is held, and lent when it is back after two weeks', {
    ...subject,
    script: [
      asked,
      finish('getStatus', { title: 'Dune', status: 'onloan' }),
      finish('sendStatus'),
      command('holdBook'),
      finish('requestHold'),
      wait(14 * DAY),
      finish('getStatus', { title: 'Dune', status: 'available' }),
      finish('checkOut', { due: 14 }),
      finish('notifyLender'),
    ],
    end: { value: 'lent', outcome: 'success', output: { title: 'Dune', status: 'available' } },
  })

  fidelity('a book that is out is not lent to a reader who does not want to wait', {
    ...subject,
    script: [
      asked,
      finish('getStatus', { title: 'Dune', status: 'onloan' }),
      finish('sendStatus'),
      command('declineBookhold'),
      finish('cancelHold'),
    ],
    end: { value: 'ended', outcome: 'cancelled', output: { title: 'Dune', status: 'onloan' } },
  })
})

describe('a mail to each of several', () => {
  fidelity('mails are sent one after the other, and retried after a minute', {
    build: (outside) =>
      sendEmails.provide({
        actors: { sendEmail: sendEmail.provide({ actors: { deliver: outside.promise('deliver') } }) },
      }),
    input: { recipients: ['ada', 'bob'] },
    commands: [],
    script: [finish('deliver'), fail('deliver', new Error('bounced')), wait(60_000), finish('deliver')],
    end: {
      value: 'allSent',
      outcome: 'success',
      output: [
        { to: 'ada', tries: 1 },
        { to: 'bob', tries: 2 },
      ],
    },
  })
})

describe('mathematical problems', () => {
  fidelity('math problems are solved one after the other', {
    build: (outside) =>
      mathProblems.provide({ actors: { solveMathExpression: outside.promise('solveMathExpression') } }),
    input: { expressions: ['2+2', '4-1', '10x3'] },
    commands: [],
    script: [finish('solveMathExpression', 4), finish('solveMathExpression', 3), finish('solveMathExpression', 30)],
    end: { value: 'solved', outcome: 'success', output: { results: [4, 3, 30] } },
  })
})

describe('the vitals of a car', () => {
  fidelity('the vitals of a car are checked by a machine of two branches while the car is on', {
    build: (outside) =>
      carVitals.provide({
        actors: {
          vitalsCheck: vitalsCheck.provide({
            actors: { checkTires: outside.promise('checkTires'), checkOil: outside.promise('checkOil') },
          }),
        },
      }),
    commands: ['CarTurnedOnEvent', 'CarTurnedOffEvent'],
    script: [
      command('CarTurnedOnEvent'),
      finish('checkOil', { value: 40 }),
      finish('checkTires', { value: 30 }),
      wait(1_000),
      finish('checkTires', { value: 31 }),
      command('CarTurnedOffEvent'),
    ],
    end: { value: 'parked', outcome: 'success', output: [{ oilPressure: 40, tirePressure: 30 }] },
  })
})

describe('a visa', () => {
  const subject = {
    build: (outside: Outside) => visaDecision.provide({ actors: { handle: outside.promise('handle') } }),
    commands: ['visa.approved', 'visa.rejected', 'note'],
  }

  fidelity('a visa that is approved is handled as approved', {
    ...subject,
    script: [command('note', { text: 'hello' }), command('visa.approved'), finish('handle', 'welcome')],
    end: { value: 'over', outcome: 'success', output: { seen: ['note', 'visa.approved'], result: 'welcome' } },
  })

  fidelity('a visa that is rejected is handled by the event’s own reason', {
    ...subject,
    script: [command('visa.rejected', { reason: 'photo' }), finish('handle', 'sorry')],
    end: { value: 'over', outcome: 'success', output: { seen: ['visa.rejected'], result: 'sorry' } },
  })

  fidelity('a visa that nobody decides within an hour is handled as undecided', {
    ...subject,
    script: [wait(HOUR - 1), wait(1), finish('handle', 'wait')],
    end: { value: 'over', outcome: 'success', output: { seen: [], result: 'wait' } },
  })
})
