import { SettingsPage as Settings } from "@/features/settings/components/settings-page";

export const metadata = { title: "Settings" };

export default function SettingsPage() {
  return <Settings />;
}
