/** What the panel knows of the pack's nodes. */

/** A scene's results, in the order in which they are made. */
export const PARTS = ['still', 'clip']

/** The nodes that keep a still or a clip. */
export const KEEPERS = ['StoryStudio_Still', 'StoryStudio_Clip']
