/**
 * What every simulator has in common, so that a demo's configuration may be written down once: its key, its webhook secret,
 * and the two things its catalog always holds. None of it opens anything real.
 */

export const simulatedApiKey = 'pdl_sdbx_apikey_01simu1ated000000000000000_no0rea1money0simu1ated0_AAA'

export const simulatedWebhookSecret = 'pdl_ntfset_01simu1ated000000000000000_no0rea1money0simu1ated0000000'

/** The product that top-ups are items of; its tax category decides their tax. */
export const walletProductId = 'pro_01simu1atedwa11etcredit000'

/** $0 a year: what a customer subscribes to so that Paddle keeps the card. */
export const setupPriceId = 'pri_01simu1atedwa11etsetup0000'

/** The webhook destination that the simulator is started with; its secret is the simulator's own. */
export const defaultNotificationSettingId = 'ntfset_01simu1atedwa11etinbox0000'
