import { Playground } from "@/features/playground/components/playground";

export const metadata = { title: "Playground" };

export default function InferencePage() {
  return <Playground />;
}
