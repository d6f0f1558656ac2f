/** What the panel knows of the pack's nodes. */

/** A scene's results, in the order in which they are made. */
export const PARTS = ['still', 'clip']

/** The nodes that keep a still or a clip. */
export const KEEPERS = ['StoryStudio_Still', 'StoryStudio_Clip']

/** Why scenes that lead back to themselves make no film, and what to do. */
export const CIRCLE = 'The scenes are linked in a circle, so no film can be made. Undo the last link, or remove one of the links between them.'
