/** Wallet transactions as rows of a table: what happened, to what it belongs, and what the balance was then. */
import type { LedgerTransactionKind } from '../billing/ledger-draft.ts'
import type { Micros } from '../billing/money.ts'
import { html, type Html } from './html.ts'
import { places, receiptPath } from './places.ts'
import { change, exactMoney, time } from './wording.ts'

export type TransactionRow = {
  id: string
  kind: LedgerTransactionKind
  /** One line for a statement. */
  description: string
  agentId: string | null
  campaignId: string | null
  amountMicros: Micros
  balanceAfterMicros: Micros
  postedAt: Date
}

export function transactionTable(caption: string, rows: readonly TransactionRow[]): Html {
  return html`<div class="scroll" role="group" aria-label="${caption}" tabindex="0">
    <table>
      <caption class="hidden">
        ${caption}
      </caption>
      <thead>
        <tr>
          <th scope="col" class="wide">When</th>
          <th scope="col">What</th>
          <th scope="col" class="number">Amount</th>
          <th scope="col" class="number wide">Balance</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(tableRow)}
      </tbody>
    </table>
  </div>`
}

function tableRow(row: TransactionRow): Html {
  const { id, description, agentId, campaignId, amountMicros, balanceAfterMicros, postedAt } = row
  const owners = [
    ...(agentId === null ? [] : [html`<a href="${filtered('agent_id', agentId)}">${agentId}</a>`]),
    ...(campaignId === null
      ? []
      : [html`<a href="${filtered('campaign_id', campaignId)}">${campaignId}</a>`]),
  ]
  return html`<tr>
    <td class="when wide">${time(postedAt)}</td>
    <th scope="row" class="break">
      <a href="${receiptPath(id)}">${description}</a>
      <small class="narrow">${time(postedAt)}</small>
      ${owners.length === 0 ? null : html`<small>${owners.map((owner, index) => html`${index === 0 ? null : ' \u00b7 '}${owner}`)}</small>`}
    </th>
    <td class="number">
      ${change(amountMicros)}<small class="narrow">leaves ${exactMoney(balanceAfterMicros)}</small>
    </td>
    <td class="number wide">${exactMoney(balanceAfterMicros)}</td>
  </tr>`
}

function filtered(name: string, value: string): string {
  return `${places.transactions.path}?${new URLSearchParams({ [name]: value }).toString()}`
}
