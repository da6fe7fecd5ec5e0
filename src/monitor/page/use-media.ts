import { useEffect, useState } from 'preact/hooks';

/** Says whether the device is as a media query says, and draws anew when that changes. */
export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const change = (): void => setMatches(list.matches);
    change();
    list.addEventListener('change', change);
    return () => list.removeEventListener('change', change);
  }, [query]);
  return matches;
}

/** A window so narrow is mostly that of a telephone. What can be touched has to be larger there. */
export function useNarrow(): boolean {
  return useMedia('(max-width: 560px)');
}
