/** `/notification-settings`: where webhooks go, which ones, and with which secret they are signed. */
import { randomBytes } from 'node:crypto'

import type { IEventName } from '@paddle/paddle-node-sdk'

import { notFound } from './api-refusal.ts'
import type { NotificationSetting } from './entities.ts'
import type { ListRules } from './lists.ts'
import { parseBody } from './parse-body.ts'
import { newNotificationSetting, notificationSettingChanges } from './request-shapes.ts'
import { answerList, param, type Answer, type ApiRequest, type Routes } from './routing.ts'
import type { Simulation } from './simulation.ts'

export const notificationSettingRoutes: Routes = {
  'GET /notification-settings': (simulation, request) =>
    answerList(simulation, request, { all: simulation.world.notificationSettings.values(), rules }),
  'POST /notification-settings': createSetting,
  'GET /notification-settings/{id}': (simulation, request) => ({
    status: 200,
    data: getSetting(simulation, param(request, 'id')),
  }),
  'PATCH /notification-settings/{id}': changeSetting,
  'DELETE /notification-settings/{id}': (simulation, request) => {
    const { id } = getSetting(simulation, param(request, 'id'))
    simulation.world.notificationSettings.delete(id)
    return { status: 204 }
  },
}

const rules: ListRules<NotificationSetting> = {
  idOf: ({ id }) => id,
  fields: {
    active: ({ active }) => String(active),
    traffic_source: ({ traffic_source: source }) => source,
  },
  perPage: 200,
  mostPerPage: 200,
}

function createSetting(simulation: Simulation, request: ApiRequest): Answer {
  const body = parseBody(newNotificationSetting, request.body)
  const id = simulation.newId('ntfset')
  const setting: NotificationSetting = {
    id,
    description: body.description,
    type: body.type,
    destination: body.destination,
    active: true,
    api_version: body.api_version ?? 1,
    include_sensitive_fields: body.include_sensitive_fields ?? false,
    traffic_source: body.traffic_source ?? 'platform',
    subscribed_events: body.subscribed_events.map(subscribed),
    endpoint_secret_key: `pdl_${id}_${randomBytes(24).toString('base64url')}`,
  }
  simulation.world.notificationSettings.set(id, setting)
  return { status: 201, data: setting }
}

function changeSetting(simulation: Simulation, request: ApiRequest): Answer {
  const setting = getSetting(simulation, param(request, 'id'))
  const body = parseBody(notificationSettingChanges, request.body)
  const changed: NotificationSetting = {
    ...setting,
    description: body.description ?? setting.description,
    destination: body.destination ?? setting.destination,
    active: body.active ?? setting.active,
    api_version: body.api_version ?? setting.api_version,
    include_sensitive_fields: body.include_sensitive_fields ?? setting.include_sensitive_fields,
    traffic_source: body.traffic_source ?? setting.traffic_source,
    subscribed_events: body.subscribed_events?.map(subscribed) ?? setting.subscribed_events,
  }
  simulation.world.notificationSettings.set(setting.id, changed)
  return { status: 200, data: changed }
}

function getSetting({ world }: Simulation, id: string): NotificationSetting {
  const setting = world.notificationSettings.get(id)
  if (setting === undefined) throw notFound(id)
  return setting
}

function subscribed(name: IEventName): NotificationSetting['subscribed_events'][number] {
  return {
    name,
    description: `Occurs at ${name}.`,
    group: name.split('.')[0] ?? name,
    available_versions: [1],
  }
}
