// A component that is drawn again only when what it shows has changed.
import { Component, type ComponentChildren, type ComponentType } from 'preact'

export function memo<P extends object>(
  draw: (props: P) => ComponentChildren,
  isSame: (before: P, now: P) => boolean,
): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(now: P): boolean {
      return !isSame(this.props, now)
    }

    override render(): ComponentChildren {
      return draw(this.props)
    }
  }
}
