import { cookies } from "next/headers";
import { type ReactNode } from "react";
import { AppShell } from "@/components/app/app-shell";
import { parseSidebarState, SIDEBAR_COOKIE } from "@/components/app/sidebar-state";

export default async function HubLayout({ children }: { children: ReactNode }) {
  const saved = (await cookies()).get(SIDEBAR_COOKIE)?.value;
  return <AppShell initialSidebar={parseSidebarState(saved)}>{children}</AppShell>;
}
