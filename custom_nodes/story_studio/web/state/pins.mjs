/** What the choice of a take means for a still or clip. */

/**
 * The pin of a still or clip, or null if no take is chosen or it is the one that the graph makes anyway.
 *
 * @param entry of the node, as POST /story_studio/takes gives it.
 * @returns `key`, of the take; `take`, what is known of it; and `kind`: `used`, instead of what the graph makes, until
 *   that changes; `overrules`, the same whatever changes; `released`, no longer used because the graph has changed; or
 *   `gone`, because its file is.
 */
export function pinOf(entry) {
  const pin = entry?.pin
  if (!pin || (pin.exists && pin.key === entry.own)) return null
  const kind = !pin.exists ? 'gone' : !pin.holds ? 'released' : pin.always ? 'overrules' : 'used'
  return { key: pin.key, kind, take: entry.takes.find(one => one.key === pin.key) }
}
