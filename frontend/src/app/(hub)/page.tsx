import { Overview } from "@/features/overview/components/overview";

export const metadata = { title: "Dashboard" };

export default function DashboardPage() {
  return <Overview />;
}
