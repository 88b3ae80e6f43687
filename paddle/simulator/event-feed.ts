/** What happens is an event, kept in order and announced to the webhooks. Nothing else announces anything. */
import type { IEventName } from '@paddle/paddle-node-sdk'

import type { SimulatedEvent, Subscription } from './entities.ts'
import type { Simulation } from './simulation.ts'

/** Records that something happened to `data`, which is kept as it is now. */
export function emit(simulation: Simulation, eventType: IEventName, data: object): void {
  record(simulation, eventType, data)
  if (simulation.webhooks.policy().unknownTypes === true) {
    record(simulation, 'wallet_simulator.unheard_of', { id: simulation.newId('evt'), happened: eventType })
  }
  simulation.changed()
}

/** A subscription as webhooks tell it: without the links that only the API gives. */
export function emitSubscription(
  simulation: Simulation,
  eventType: IEventName,
  subscription: Subscription,
  more: object = {},
): void {
  const { management_urls: _links, ...told } = subscription
  emit(simulation, eventType, { ...told, ...more })
}

function record(simulation: Simulation, eventType: string, data: object): void {
  const event: SimulatedEvent = {
    eventId: simulation.newId('evt'),
    eventType,
    occurredAt: simulation.clock.stamp(),
    data,
  }
  simulation.world.events.push(event)
  simulation.webhooks.announce(event)
}
