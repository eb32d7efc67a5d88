/** auto: as wide as the window allows. Kept in a cookie, so that the server draws it right at once. */
export type SidebarState = "auto" | "open" | "collapsed";

export const SIDEBAR_COOKIE = "mlx-hub.sidebar";
const ONE_YEAR_SECONDS = 31_536_000;
export function parseSidebarState(value: string | undefined): SidebarState {
  return value === "open" || value === "collapsed" ? value : "auto";
}

export function saveSidebarState(state: SidebarState): void {
  document.cookie = `${SIDEBAR_COOKIE}=${state}; path=/; max-age=${ONE_YEAR_SECONDS}; samesite=lax`;
}
