/**
 * Names and tooltips of the pack's nodes in the language of the interface, where ComfyUI loses them: interfaces that
 * read the packs' translations before their own overwrite them with those. They are asked for once more then.
 */
import { isBefore } from '../shared/interface.mjs'

/** 1.58 keeps them; where ComfyUI does, this sets what is there. */
const FIRST_THAT_KEEPS_THEM = 58

let texts = {}

/** Asks for the translations, if ComfyUI may have lost them. */
export async function learnNodes(app, locale) {
  if (!isBefore(FIRST_THAT_KEEPS_THEM) || !locale || locale === 'en') return
  const answer = await app.api.fetchApi('/i18n')
  if (answer.ok) texts = (await answer.json())[locale]?.nodeDefs ?? {}
}

/** Translates what is known of a class, from which ComfyUI makes its nodes, its search and its tooltips. */
export function translateDefinition(definition) {
  const own = ownTexts(definition.name)
  if (!own) return
  definition.display_name = own.display_name
  definition.description = own.description
  for (const inputs of Object.values(definition.input ?? {})) {
    for (const [name, [, options]] of Object.entries(inputs)) if (options && own.inputs?.[name]?.tooltip) options.tooltip = own.inputs[name].tooltip
  }
  definition.output_tooltips = definition.output_tooltips?.map((text, index) => own.outputs?.[index]?.tooltip ?? text)
}

/** Names the inputs and outputs of a node that was just made. */
export function translateSlots(node) {
  const own = ownTexts(node.comfyClass)
  if (!own) return
  for (const slot of node.inputs ?? []) slot.localized_name = own.inputs?.[slot.name]?.name ?? slot.localized_name
  for (const widget of node.widgets ?? []) widget.label = own.inputs?.[widget.name]?.name ?? widget.label
  node.outputs?.forEach((slot, index) => (slot.localized_name = own.outputs?.[index]?.name ?? slot.localized_name))
}

const ownTexts = name => (String(name).startsWith('StoryStudio_') ? texts[name] : undefined)
